package dynamostore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/reprise-go/reprise/store"
)

// The sequence is one item with the incarnation and the number that was issued last, and an item for each slot that was
// ever raised:
//
//	prefix!            i: incarnation, a random number; n: the number issued last
//	prefix!<i>.<slot>  n: the number that the slot was last raised to
//
// A Raise increases the number and raises the slots in one transaction, on the condition that the number is still the
// one it knows. So numbers and slots change together and no slot ever falls: who finds the number finds the slots. What
// exceeds a transaction is raised before it, to the number that the transaction will issue; if that fails, those slots
// are too high, which invalidates too much.
//
// A batch of reads has no order, so that its number might be newer than its slots: a raise would then be missed by
// whoever trusts the number. Slots are therefore believed only together with a number that was read before them. A
// Store remembers the last number that it read, and the slots that it read after that. While the number stays, one read
// of it is all that a look-up costs, and what is not remembered can be read in the same batch; when it has changed, the
// slots are read again, after it.
//
// Every read here is consistent. The items do not expire. Without the first of them everything begins again, under
// another incarnation.

func (s *Store) controlKey() string { return s.cfg.Prefix + controlMark }

func (s *Store) slotKey(life uint64, slot uint16) string {
	return s.cfg.Prefix + controlMark + strconv.FormatUint(life, 16) + "." + strconv.Itoa(int(slot))
}

// slotOf returns one of 65,536 slots. It is FNV-1a with the bits mixed, and the same in every process and release:
// another one would look for marks where they are not.
func slotOf(name string) uint16 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	return uint16(h >> 48)
}

// state is one reading of the first item.
type state struct{ life, newest uint64 }

// seen is what a Store remembers of the sequence: the last state it read, and slots that it read after that.
type seen struct {
	mu    sync.Mutex
	state state
	slots map[uint16]uint64
}

// look returns the state and those of the slots that are remembered.
func (k *seen) look(wanted []uint16) (state, map[uint16]uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := make(map[uint16]uint64, len(wanted))
	for _, slot := range wanted {
		if n, ok := k.slots[slot]; ok {
			known[slot] = n
		}
	}
	return k.state, known
}

// advance remembers that st was read. Readings may come in late: the newer one stays.
func (k *seen) advance(st state) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if st == k.state || st.life == k.state.life && st.newest < k.state.newest {
		return
	}
	k.state, k.slots = st, make(map[uint16]uint64)
}

// add remembers slots that were read after st was, if that is still the last state.
func (k *seen) add(st state, read map[uint16]uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if st != k.state {
		return
	}
	maps.Copy(k.slots, read)
}

// Marks implements [store.Sequencer].
func (s *Store) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, m, err := s.marks(ctx, names, "")
	return m, wrap(ctx, "marks", err)
}

// GetMarked implements [store.Sequencer]. It takes one round trip while nothing is invalidated, and a second one when
// something was.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	it, m, err := s.marks(ctx, names, s.dataKey(key))
	if err != nil {
		return nil, store.Marks{}, wrap(ctx, "get marked", err)
	}
	value, err := s.value(ctx, it)
	return value, m, wrap(ctx, "get marked", err)
}

// marks reads the slots of names, and in the same batch the item at pk unless that is "".
func (s *Store) marks(ctx context.Context, names []string, pk string) (item, store.Marks, error) {
	wanted := make([]uint16, len(names))
	for i, name := range names {
		wanted[i] = slotOf(name)
	}
	var it item
	for tries := 0; ; tries++ {
		if err := wait(ctx, tries); err != nil {
			return nil, store.Marks{}, err
		}
		before, known := s.seen.look(wanted)
		missing := without(wanted, known)
		keys := []string{s.controlKey()}
		if before.life != 0 {
			keys = append(keys, s.slotKeys(before.life, missing)...)
		}
		if pk != "" {
			keys = append(keys, pk)
		}
		found, err := s.read(ctx, true, keys...)
		if err != nil {
			return nil, store.Marks{}, err
		}
		it, pk = or(it, found[pk]), ""
		now, ok := stateOf(found[s.controlKey()])
		if !ok {
			if err := s.begin(ctx); err != nil {
				return nil, store.Marks{}, err
			}
			continue
		}
		if now != before {
			s.seen.advance(now)
			missing = without(wanted, nil)
			known = make(map[uint16]uint64, len(missing))
			if found, err = s.read(ctx, true, s.slotKeys(now.life, missing)...); err != nil {
				return nil, store.Marks{}, err
			}
		}
		for _, slot := range missing {
			known[slot] = raisedTo(found, s.slotKey(now.life, slot))
		}
		s.seen.add(now, known)
		m := store.Marks{Incarnation: now.life, Newest: now.newest, Slots: make([]uint64, len(names))}
		for i, slot := range wanted {
			m.Slots[i] = known[slot]
		}
		return it, m, nil
	}
}

func or(a, b item) item {
	if a != nil {
		return a
	}
	return b
}

// without returns the slots that are not known, each once.
func without(wanted []uint16, known map[uint16]uint64) []uint16 {
	var missing []uint16
	for _, slot := range wanted {
		if _, ok := known[slot]; !ok {
			missing = append(missing, slot)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

func (s *Store) slotKeys(life uint64, of []uint16) []string {
	keys := make([]string, len(of))
	for i, slot := range of {
		keys[i] = s.slotKey(life, slot)
	}
	return keys
}

// raisedTo returns the number of a slot; 0 if it was never raised, and more than all if it has none that can be read.
func raisedTo(found map[string]item, key string) uint64 {
	it, ok := found[key]
	if !ok {
		return 0
	}
	n, ok := unsignedOf(it[numberAttribute])
	if !ok {
		return math.MaxUint64
	}
	return n
}

func stateOf(it item) (state, bool) {
	life, ok := unsignedOf(it[lifeAttribute])
	newest, ok2 := unsignedOf(it[numberAttribute])
	return state{life, newest}, ok && ok2 && life != 0
}

// begin begins a life, unless there is one. An item that is none takes no numbers, and is replaced.
func (s *Store) begin(ctx context.Context) error {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	it := s.keyOf(s.controlKey())
	it[lifeAttribute] = unsigned(max(1, binary.LittleEndian.Uint64(b[:])))
	it[numberAttribute] = unsigned(0)
	_, err := s.cfg.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: aws.String(s.cfg.Table), Item: it,
		ConditionExpression:       aws.String("NOT (attribute_type(#i, :n) AND attribute_type(#n, :n) AND #i > :0)"),
		ExpressionAttributeNames:  map[string]string{"#i": lifeAttribute, "#n": numberAttribute},
		ExpressionAttributeValues: item{":n": text("N"), ":0": number(0)},
	})
	if _, others := refused(err); others {
		return nil
	}
	return err
}

// Raise implements [store.Sequencer].
func (s *Store) Raise(ctx context.Context, names ...string) (uint64, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	n, err := s.raise(ctx, names)
	return n, wrap(ctx, "raise", err)
}

func (s *Store) raise(ctx context.Context, names []string) (uint64, error) {
	wanted := make([]uint16, len(names))
	for i, name := range names {
		wanted[i] = slotOf(name)
	}
	wanted = without(wanted, nil)
	now, _ := s.seen.look(nil)
	for tries := 0; ; tries++ {
		if err := wait(ctx, tries); err != nil {
			return 0, err
		}
		if now.life == 0 {
			_, m, err := s.marks(ctx, nil, "")
			if err != nil {
				return 0, err
			}
			now = state{m.Incarnation, m.Newest}
		}
		next := state{now.life, now.newest + 1}
		together := wanted[:min(len(wanted), perTransaction-1)]
		if err := s.raiseAhead(ctx, next, wanted[len(together):]); err != nil {
			return 0, err
		}
		parts := []types.TransactWriteItem{{Update: &types.Update{
			TableName: aws.String(s.cfg.Table), Key: s.keyOf(s.controlKey()),
			UpdateExpression:                    aws.String("SET #n = :next"),
			ConditionExpression:                 aws.String("#i = :life AND #n = :now"),
			ExpressionAttributeNames:            map[string]string{"#i": lifeAttribute, "#n": numberAttribute},
			ExpressionAttributeValues:           item{":life": unsigned(now.life), ":now": unsigned(now.newest), ":next": unsigned(next.newest)},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}}}
		for _, key := range s.slotKeys(now.life, together) {
			it := s.keyOf(key)
			it[numberAttribute] = unsigned(next.newest)
			parts = append(parts, types.TransactWriteItem{Put: &types.Put{TableName: aws.String(s.cfg.Table), Item: it}})
		}
		_, err := s.cfg.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: parts})
		if err == nil {
			s.seen.advance(next)
			return next.newest, nil
		}
		reasons := cancelled(err)
		switch {
		case len(reasons) > 0 && aws.ToString(reasons[0].Code) == conditionFailed:
			if now, _ = stateOf(reasons[0].Item); now.life != 0 {
				s.seen.advance(now)
			}
		case !passing(reasons):
			return 0, err
		default:
			now = state{} // read again
		}
	}
}

// raiseAhead raises slots to the number that is about to be issued, except those that are beyond it already.
func (s *Store) raiseAhead(ctx context.Context, next state, of []uint16) error {
	return inParallel(s.slotKeys(next.life, of), func(key string) error {
		_, err := s.cfg.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: aws.String(s.cfg.Table), Key: s.keyOf(key),
			UpdateExpression:          aws.String("SET #n = :n"),
			ConditionExpression:       aws.String("attribute_not_exists(#n) OR #n < :n"),
			ExpressionAttributeNames:  map[string]string{"#n": numberAttribute},
			ExpressionAttributeValues: item{":n": unsigned(next.newest)},
		})
		if _, beyond := refused(err); beyond {
			return nil
		}
		return err
	})
}

package memcachedstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// The sequence lives in items of one server, the one that the life item's key belongs to:
//
//	prefix!            life: the incarnation, a random number in hexadecimal
//	prefix!<life>      the number that was issued last in this life, decimal
//	prefix!<life>.<n>  slot n: the number it was last raised to, decimal, or "?"
//
// None of them expires, and each of them may be evicted at any moment. What was raised must stay raised all the same:
// a reader may find a slot higher than it was raised, or a new life, never a slot that is lower. This is why it holds.
//
// (1) A life's counter never falls. It is created, at 0, before the life is known to anybody but its creator, and
// nobody creates it again: who finds it gone begins another life. All lives differ, being random.
//
// (2) Let a Raise have made the slot "?", have been issued n after that, and have then found or left the slot at n or
// more. From the "?" on, in this life, the slot is gone, "?" or at least n. By induction over what changes a slot:
//   - eviction leaves it gone;
//   - a slot that is gone becomes "?", by whoever misses it, on the condition that it is gone;
//   - "?" becomes c, on the condition that it is still that very "?" (CAS), where c is the counter, read after the "?"
//     was. Once n is issued, c is at least n, by (1). Before that a reader may have made it less; then the Raise finds
//     that, and begins again with another "?" in each of its slots and another number.
//   - another Raise makes it "?", and then a number.
//
// That the slot has no number while n is being issued matters as much as what it has in the end. A reader that knew of n, and still
// found the slot lower, would take an old entry for good, make a new one of it, and give that the number n: it
// would look younger than the invalidation.
//
// (3) "?" and gone are not numbers: a reader makes a number of them first. So a reader that begins after a Raise has
// returned, and finds the life of that Raise, finds n or more.
//
// (4) A Raise returns only when it has found its own life current after it had raised all slots. A life that is over
// never returns, since all differ. So a reader that begins later finds that life, and (3), or a later one, under which
// nothing that was stored before is comparable.
//
// (5) A reader finds life, counter and slots by commands that one server executes in this order, the life first: what
// it finds was raised in that life. The counter is read before the slots, so that Newest may be older than they are,
// never younger. A reader that is stopped in the middle holds what was true when it read the life.
//
// A server that restarts empty, or is flushed, has lost the life: (4). A life costs a miss for everything, a slot that
// is gone for what was stored before the number issued last.

// slots is the number of slots: 65,536, about 6 MiB of small items once all were used.
const slots = 1 << 16

// rounds bounds the repetitions of what others may disturb.
const rounds = 32

const unknown = "?"

// errLost says that the counter of a life is gone, or no number.
var errLost = errors.New("the sequence was lost")

func (s *Store) lifeKey() string { return s.cfg.Prefix + controlMark }

func (s *Store) counterKey(life uint64) string {
	return s.cfg.Prefix + controlMark + strconv.FormatUint(life, 16)
}

func (s *Store) slotKeys(life uint64, names []string) []string {
	keys := make([]string, len(names))
	key := append([]byte(s.counterKey(life)), '.')
	for i, name := range names {
		keys[i] = string(strconv.AppendUint(key, hash(name)%slots, 10))
	}
	return keys
}

// sequencer returns the server that the sequence lives on. It is chosen by the life item's key alone.
func (s *Store) sequencer() *meta.Server { return s.on(s.lifeKey()) }

func number(r meta.Reply) (uint64, bool) {
	if r.Status != meta.OK {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.Value), 10, 64)
	return n, err == nil
}

func lifeOf(r meta.Reply) (uint64, bool) {
	if r.Status != meta.OK {
		return 0, false
	}
	n, err := strconv.ParseUint(string(r.Value), 16, 64)
	return n, err == nil && n != 0
}

// Marks implements [store.Sequencer].
func (s *Store) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, err := s.marks(ctx, names, nil, nil)
	return m, s.wrap("marks", err)
}

// GetMarked implements [store.Sequencer]. Where the value is on another server than the sequence, both are asked at the
// same time.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	get := meta.Command{Op: meta.Get, Key: s.dataKey(key)}
	var got meta.Reply
	var m store.Marks
	var err error
	if server := s.on(get.Key); server == s.sequencer() {
		m, err = s.marks(ctx, names, &get, &got)
	} else {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		read := make(chan error, 1) // its sender ends with the exchange, which ends with ctx
		go func() {
			var replies [1]meta.Reply
			err := server.Do(ctx, []meta.Command{get}, replies[:])
			got = replies[0]
			read <- err
		}()
		if m, err = s.marks(ctx, names, nil, nil); err != nil {
			cancel()
		}
		if getErr := <-read; err == nil {
			err = getErr
		}
	}
	if err != nil {
		return nil, m, s.wrap("get marked", err)
	}
	value, err := s.value(ctx, got)
	return value, m, s.wrap("get marked", err)
}

// marks reads the slots of names. With get it executes that as well, in the same round trip.
func (s *Store) marks(ctx context.Context, names []string, get *meta.Command, got *meta.Reply) (store.Marks, error) {
	for range rounds {
		life := s.life.Load()
		keys := s.slotKeys(life, names)
		cmds := make([]meta.Command, 0, 3+len(keys))
		cmds = append(cmds, meta.Command{Op: meta.Inspect, Key: s.lifeKey()}, meta.Command{Op: meta.Get, Key: s.counterKey(life)})
		for _, key := range keys {
			cmds = append(cmds, meta.Command{Op: meta.Get, Key: key})
		}
		if get != nil {
			cmds = append(cmds, *get)
		}
		replies := make([]meta.Reply, len(cmds))
		if err := s.sequencer().Do(ctx, cmds, replies); err != nil {
			return store.Marks{}, err
		}
		if get != nil {
			*got, get = replies[len(replies)-1], nil
		}

		current, ok := lifeOf(replies[0])
		newest, counts := number(replies[1])
		switch {
		case !ok, current == life && !counts:
			if err := s.begin(ctx, replies[0].CAS); err != nil {
				return store.Marks{}, err
			}
			continue
		case current != life:
			s.life.Store(current)
			continue
		}
		m := store.Marks{Incarnation: life, Newest: newest, Slots: make([]uint64, len(names))}
		var unsettled []string
		for i, r := range replies[2 : 2+len(keys)] {
			if m.Slots[i], ok = number(r); !ok {
				unsettled = append(unsettled, keys[i])
			}
		}
		if len(unsettled) == 0 {
			return m, nil
		}
		settled, _, err := s.advance(ctx, life, unsettled, false)
		if errors.Is(err, errLost) {
			continue
		}
		if err != nil {
			return store.Marks{}, err
		}
		for i, key := range keys {
			if n, ok := settled[key]; ok {
				m.Slots[i] = n
			}
		}
		return m, nil
	}
	return store.Marks{}, errBusy
}

// Raise implements [store.Sequencer]. It takes two round trips, and two more where a slot was gone.
func (s *Store) Raise(ctx context.Context, names ...string) (uint64, error) {
	for range rounds {
		life := s.life.Load()
		if life == 0 {
			if _, err := s.marks(ctx, nil, nil, nil); err != nil {
				return 0, s.wrap("raise", err)
			}
			life = s.life.Load()
		}
		_, n, err := s.advance(ctx, life, s.slotKeys(life, names), true)
		var refused *meta.Error
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, errLost), errors.As(err, &refused): // what is no number cannot be increased
			if _, err := s.marks(ctx, nil, nil, nil); err != nil {
				return 0, s.wrap("raise", err)
			}
		default:
			return 0, s.wrap("raise", err)
		}
	}
	return 0, s.wrap("raise", errBusy)
}

// begin begins another life in the place of the life item of that CAS; 0 is none at all. If others were faster, theirs
// stays.
func (s *Store) begin(ctx context.Context, cas uint64) error {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	life := max(1, binary.LittleEndian.Uint64(b[:]))
	// Two exchanges, since one may be repeated: the counter must not be made again once the life is known.
	var reply [1]meta.Reply
	err := s.sequencer().Do(ctx, []meta.Command{{Op: meta.Set, Absent: true, Key: s.counterKey(life), Value: []byte("0")}}, reply[:])
	if err != nil {
		return err
	}
	return s.sequencer().Do(ctx, []meta.Command{{
		Op: meta.Set, Absent: cas == 0, CAS: cas, Key: s.lifeKey(), Value: []byte(strconv.FormatUint(life, 16)),
	}}, reply[:])
}

// advance makes numbers of the slots at keys and returns them. With raise it makes them unknown first, issues the number n,
// raises all slots to it, and returns only if life is current after that.
func (s *Store) advance(ctx context.Context, life uint64, keys []string, raise bool) (settled map[string]uint64, n uint64, err error) {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	settled = make(map[string]uint64, len(keys))
	all := keys
	server, counter, current := s.sequencer(), s.counterKey(life), meta.Command{Op: meta.Get, Key: s.lifeKey()}
	value := func(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }

	issue := raise   // whether to begin (again) with another number
	absent := !raise // whether to expect slots that are gone
	for range rounds {
		if issue {
			keys = all // each of them has to reach the number that is issued last
		}
		cmds := make([]meta.Command, 0, 2*len(keys)+3)
		if issue || absent {
			for _, key := range keys {
				cmds = append(cmds, meta.Command{Op: meta.Set, Absent: !issue, Key: key, Value: []byte(unknown)})
			}
		}
		if issue {
			cmds = append(cmds, meta.Command{Op: meta.Increment, Key: counter})
		}
		from := len(cmds)
		for _, key := range keys {
			cmds = append(cmds, meta.Command{Op: meta.Inspect, Key: key})
		}
		cmds = append(cmds, meta.Command{Op: meta.Get, Key: counter}, current)
		replies := make([]meta.Reply, len(cmds))
		if err := server.Do(ctx, cmds, replies); err != nil {
			return nil, 0, err
		}
		if issue {
			var ok bool
			if n, ok = number(replies[from-1]); !ok {
				return nil, 0, errLost
			}
		}
		now, ok := number(replies[len(replies)-2])
		if !ok {
			return nil, 0, errLost
		}
		last := replies[len(replies)-1]

		issue, absent = false, false
		var open []string
		var change []meta.Command
		for i, key := range keys {
			r := replies[from+i]
			is, ok := number(r)
			switch {
			case r.Status != meta.OK:
				open, absent = append(open, key), true
			case !ok:
				change = append(change, meta.Command{Op: meta.Set, Key: key, CAS: r.CAS, Value: value(now)})
			case is < n:
				open, issue = append(open, key), true
			default:
				settled[key] = is
			}
		}
		keys = open
		if len(change) > 0 {
			// The life is read after the slots were raised, as (4) wants it.
			replies := make([]meta.Reply, len(change)+1)
			if err := server.Do(ctx, append(change, current), replies); err != nil {
				return nil, 0, err
			}
			for i, c := range change {
				if replies[i].Status == meta.OK {
					settled[c.Key], _ = strconv.ParseUint(string(c.Value), 10, 64)
				} else {
					keys = append(keys, c.Key)
					absent = absent || replies[i].Status == meta.Missing
				}
			}
			last = replies[len(replies)-1]
		}
		if len(keys) > 0 {
			continue
		}
		if is, ok := lifeOf(last); raise && (!ok || is != life) {
			return nil, 0, errLost
		}
		return settled, n, nil
	}
	return nil, 0, fmt.Errorf("%w: %s", errBusy, strings.TrimPrefix(keys[0], s.cfg.Prefix))
}

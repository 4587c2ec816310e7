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

	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// The sequence lives in items of one server, the one that the life item's key belongs to:
//
//	prefix@            life: the incarnation, a random number in hexadecimal
//	prefix@<life>      the number that was issued last in this life, decimal
//	prefix@<life>.<n>  slot n: the number it was last raised to, decimal, or "?"
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
// (6) A process remembers what it found of slots, with the life and the counter that it had read before them, and goes by
// that as long as it finds the same life and the same counter, c. By (1) every number that was issued by then is at most c, and
// had been issued when c was read first. Consider a Raise that has such a number n for its last. It made its slots "?"
// before that; so what was found of them after c, and settled where it was "?" or gone, is n or more, by (2). A Raise
// that begins again with another number increases the counter again.
// So who goes by what is remembered has the slots of every Raise whose number it has, as (2) wants it, and of every Raise
// that had returned when it began, as (3) does. What has become of a slot since does not matter: whoever asks for one that
// was evicted finds it higher, nobody finds it lower.
//
// The value takes no part in this order. It may be read before the slots, which come in a second round trip where the
// counter is another, or after them, as where they are remembered or the value is on another server. An entry that was made before
// is compared with every Raise that had returned when the look-up began; one that is younger than the counter is refused.
//
// A server that restarts empty, or is flushed, has lost the life: (4). A life costs a miss for everything, a slot that
// is gone for what was stored before the number issued last.

// slots is the number of slots: 262,144, about 24 MiB of small items once all were used. Who changes it changes
// controlMark as well: processes that count differently must not read each other's slots.
const slots = 1 << 18

// rounds bounds the repetitions of what others may disturb.
const rounds = 32

const unknown = "?"

// errLost says that the counter of a life is gone, or no number.
var errLost = errors.New("the sequence was lost")

func (s *Store) counterKey(life uint64) string { return s.lifeKey + strconv.FormatUint(life, 16) }

// appendSlots appends the slots of names.
func appendSlots(to []uint32, names []string) []uint32 {
	for _, name := range names {
		to = append(to, uint32(hash(name)%slots))
	}
	return to
}

// appendSlotKeys appends the keys of slots, in the life whose counter is at counterKey. It is one allocation.
func appendSlotKeys(to []string, counterKey string, slots []uint32) []string {
	const digits = 10
	var all strings.Builder
	all.Grow(len(slots) * (len(counterKey) + 1 + digits))
	var n [digits]byte
	for _, slot := range slots {
		from := all.Len()
		all.WriteString(counterKey)
		all.WriteByte('.')
		all.Write(strconv.AppendUint(n[:0], uint64(slot), 10))
		to = append(to, all.String()[from:])
	}
	return to
}

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

// Raise implements [store.Sequencer]. It takes two round trips, and two more where a slot was gone.
func (s *Store) Raise(ctx context.Context, names ...string) (uint64, error) {
	slots := appendSlots(nil, names)
	for range rounds {
		k := s.known.Load()
		if k.life == 0 {
			if _, _, err := s.marks(ctx, nil, ""); err != nil {
				return 0, s.wrap("raise", err)
			}
			k = s.known.Load()
		}
		_, n, err := s.advance(ctx, k.life, appendSlotKeys(nil, k.counterKey, slots), true)
		var refused *meta.Error
		switch {
		case err == nil:
			s.knownAt(k.life, n)
			return n, nil
		case errors.Is(err, errLost), errors.As(err, &refused): // what is no number cannot be increased
			if _, _, err := s.marks(ctx, nil, ""); err != nil {
				return 0, s.wrap("raise", err)
			}
		default:
			return 0, s.wrap("raise", err)
		}
	}
	return 0, s.wrap("raise", errBusy)
}

// renew begins another life if there is none that is whole.
func (s *Store) renew(ctx context.Context) error {
	var reply [1]meta.Reply
	if err := s.sequencer.Do(ctx, []meta.Command{{Op: meta.Inspect, Key: s.lifeKey}}, reply[:]); err != nil {
		return err
	}
	cas := reply[0].CAS
	if life, ok := lifeOf(reply[0]); ok {
		if err := s.sequencer.Do(ctx, []meta.Command{{Op: meta.Get, Key: s.counterKey(life)}}, reply[:]); err != nil {
			return err
		}
		if _, counts := number(reply[0]); counts {
			return nil // others were faster
		}
	}
	return s.begin(ctx, cas)
}

// begin begins another life in the place of the life item of that CAS; 0 is none at all. If others were faster, theirs
// stays.
func (s *Store) begin(ctx context.Context, cas uint64) error {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	life := max(1, binary.LittleEndian.Uint64(b[:]))
	// Two exchanges, since one may be repeated: the counter must not be made again once the life is known.
	var reply [1]meta.Reply
	err := s.sequencer.Do(ctx, []meta.Command{{Op: meta.Set, Absent: true, Key: s.counterKey(life), Value: []byte("0")}}, reply[:])
	if err != nil {
		return err
	}
	return s.sequencer.Do(ctx, []meta.Command{{
		Op: meta.Set, Absent: cas == 0, CAS: cas, Key: s.lifeKey, Value: []byte(strconv.FormatUint(life, 16)),
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
	server, counter, current := s.sequencer, s.counterKey(life), meta.Command{Op: meta.Get, Key: s.lifeKey}
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

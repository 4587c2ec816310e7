package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/store"
)

// The marks are one string of words of eight bytes, big-endian as BITFIELD writes them: the incarnation, the newest
// number, the run of the server in ten words, and the slots. One key is lost as a whole or not at all, and has its
// full size from the beginning, so that to raise needs no memory.
const (
	wordBits  = 64
	runLength = 80 // bytes of a run_id and a master_replid
	runAt     = 2
	slotsAt   = runAt + runLength/8
	marksSize = (slotsAt + markSlots) * 8 // bytes
	word64    = "i64"
)

// adoptScript returns the incarnation of the marks. Those of another run it replaces. KEYS: marks. ARGV: the run, ""
// if it does not matter; the incarnation to begin, eight bytes; where the run begins and ends; the last byte of all.
const adoptScript = `
local incarnation = redis.call('GETRANGE', KEYS[1], 0, 7)
if #incarnation == 8 and (ARGV[1] == '' or redis.call('GETRANGE', KEYS[1], ARGV[3], ARGV[4]) == ARGV[1]) then
	return incarnation
end
-- DEL is allowed when memory is full, and allows what follows.
redis.call('DEL', KEYS[1])
redis.call('SETRANGE', KEYS[1], ARGV[5], '\0')
redis.call('SETRANGE', KEYS[1], 0, ARGV[2])
redis.call('SETRANGE', KEYS[1], ARGV[3], ARGV[1])
return ARGV[2]
`

// raiseScript issues a number and raises slots to it. It returns 0 if the marks are of another incarnation. KEYS:
// marks. ARGV: the incarnation, eight bytes; the words of the slots.
const raiseScript = `
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then
	return 0
end
-- A write that takes no memory: those that follow are then allowed when memory is full.
redis.call('PERSIST', KEYS[1])
local number = redis.call('BITFIELD', KEYS[1], 'INCRBY', 'i64', '#1', '1')[1]
for i = 2, #ARGV do
	redis.call('BITFIELD', KEYS[1], 'SET', 'i64', ARGV[i], number)
end
return number
`

// Marks implements [store.Sequencer].
func (s *Store) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	slots := slotsOf(make([]uint32, 0, fewNames), names)
	var m store.Marks
	err := s.onLane(ctx, func(l *lane) (err error) {
		m, err = l.marks(l.Do(ctx, l.read(slots)), len(slots))
		return err
	})
	if err != nil {
		return store.Marks{}, fail("marks", err)
	}
	return m, nil
}

// Raise implements [store.Sequencer].
func (s *Store) Raise(ctx context.Context, names ...string) (uint64, error) {
	slots := slotsOf(nil, names)
	slices.Sort(slots)
	slots = slices.Compact(slots)
	var number int64
	err := s.onLane(ctx, func(l *lane) (err error) {
		number, err = l.Do(ctx, l.raise(slots)).AsInt64()
		if err == nil && number <= 0 {
			err = errIncarnation
		}
		return err
	})
	if err != nil {
		return 0, fail("raise", err)
	}
	return uint64(number), nil //nolint:gosec // positive
}

// GetMarked implements [store.Sequencer]: one round trip on one connection, and a second one if the marks change in that
// moment. In a Cluster, where the value and the marks are on different nodes, it is two at the same time.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	c, err := s.client.get(ctx)
	if err != nil {
		return nil, store.Marks{}, fail("get marked", err)
	}
	valueKey := s.keys.valueKey(key)
	if c.cluster {
		return s.getApart(ctx, c, valueKey, names)
	}
	slots := slotsOf(make([]uint32, 0, fewNames), names)
	var found marked
	err = s.onLane(ctx, func(l *lane) (err error) {
		found, err = l.getMarked(ctx, valueKey, slots)
		return err
	})
	if err == nil {
		err = found.err
	}
	if err != nil {
		return nil, found.marks, fail("get marked", err)
	}
	return found.value, found.marks, nil
}

// fewNames is how many names most look-ups have at most.
const fewNames = 16

// marked is a value, or why there is none, and the marks that were read with it.
type marked struct {
	value []byte
	err   error
	marks store.Marks
}

// getMarked returns an error if it cannot tell the marks.
func (l *lane) getMarked(ctx context.Context, valueKey string, slots []uint32) (f marked, err error) {
	k := l.known.Load()
	if k == nil && l.gate.held.Load() > 0 {
		l.follow(ctx)
		k = l.known.Load()
	}
	if k != nil && !l.due() {
		var ok bool
		if f.marks, ok = k.marks(slots); ok {
			reply := l.get(ctx, valueKey)
			if err := reply.NonRedisError(); err != nil {
				return marked{}, err
			}
			f.value, f.err = bytesOf(reply)
			if l.known.Load() == k && (f.err == nil || errors.Is(f.err, store.ErrNotFound)) {
				return f, nil
			}
			// The marks have changed, or the server is not what it was.
			_, f.marks, err = l.readMarks(ctx, slots)
			return f, err
		}
	}
	get := l.B().Get().Key(valueKey).Build()
	replies, m, err := l.readMarks(ctx, slots, append(make([]rueidis.Completed, 0, 3), get)...)
	if err != nil {
		return marked{}, err
	}
	f.marks = m
	f.value, f.err = bytesOf(replies[0])
	return f, nil
}

// readMarks reads the marks of slots after what the commands do, and keeps in mind what it read if the server tracks the
// lane.
func (l *lane) readMarks(ctx context.Context, slots []uint32, commands ...rueidis.Completed) ([]rueidis.RedisResult, store.Marks, error) {
	// What is announced from here on outdates k and what it learns.
	k := l.known.Load()
	if k != nil {
		// It holds for the next command. rueidis writes commands that were given together without others in between.
		commands = append(commands, l.B().ClientCaching().Yes().Build())
	}
	replies := l.DoMulti(ctx, append(commands, l.read(slots))...)
	last := len(replies) - 1
	m, err := l.marks(replies[last], len(slots))
	if err == nil && k != nil && replies[last-1].Error() == nil && !k.learn(slots, m) {
		l.known.CompareAndSwap(k, new(known)) // the marks have changed, and nothing was announced
	}
	return replies, m, err
}

// getApart is GetMarked where the value and the marks are on different nodes. Either may be read first: both are read
// within the call, so what was invalidated before it began is marked in what it reads.
func (s *Store) getApart(ctx context.Context, c *connection, valueKey string, names []string) ([]byte, store.Marks, error) {
	reply := make(chan rueidis.RedisResult, 1) // has room: nobody may be waiting any more
	// The goroutine ends with ctx, or a second after it.
	go func() {
		r := c.Do(ctx, c.B().Get().Key(valueKey).Build())
		reply <- r
		if r.NonRedisError() != nil && !errors.Is(ctx.Err(), context.Canceled) {
			c.relearn() //nolint:contextcheck // the caller has gone by then
		}
	}()
	m, err := s.Marks(ctx, names...)
	if err != nil {
		return nil, store.Marks{}, err
	}
	value, err := bytesOf(<-reply)
	if err != nil {
		return nil, m, fail("get marked", err)
	}
	return value, m, nil
}

// raise issues a number and raises slots to it.
func (l *lane) raise(slots []uint32) rueidis.Completed {
	args := make([]string, 1, 1+len(slots))
	args[0] = string(binary.BigEndian.AppendUint64(nil, l.incarnation.Load()))
	for _, slot := range slots {
		args = append(args, "#"+strconv.Itoa(slotsAt+int(slot)))
	}
	return l.B().Eval().Script(raiseScript).Numkeys(1).Key(l.key).Arg(args...).Build()
}

// read reads the incarnation, the newest number and slots as of one moment.
func (l *lane) read(slots []uint32) rueidis.Completed {
	read := l.B().BitfieldRo().Key(l.key).Get().Get(word64, 0).Get(word64, wordBits)
	for _, slot := range slots {
		read = read.Get(word64, (slotsAt+int64(slot))*wordBits)
	}
	return read.Build()
}

// marks decodes the reply to read.
func (l *lane) marks(reply rueidis.RedisResult, slots int) (store.Marks, error) {
	words, err := reply.ToArray()
	if err != nil {
		return store.Marks{}, err
	}
	if len(words) != 2+slots {
		return store.Marks{}, errors.New("a reply of another length than asked for")
	}
	// Where there are no marks, every word is 0, which is no incarnation.
	m := store.Marks{Slots: make([]uint64, slots)}
	for i, field := range words {
		n, err := field.ToInt64()
		if err != nil {
			return store.Marks{}, err
		}
		switch i {
		case 0:
			m.Incarnation = uint64(n) //nolint:gosec // any 64 bits
		case 1:
			m.Newest = uint64(n) //nolint:gosec // counted up from 0
		default:
			m.Slots[i-2] = uint64(n) //nolint:gosec // counted up from 0
		}
	}
	if m.Incarnation != l.incarnation.Load() {
		return store.Marks{}, errIncarnation
	}
	return m, nil
}

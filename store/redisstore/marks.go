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
	word      = "i64"
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
	var m store.Marks
	err := s.onLane(ctx, func(l *lane) (err error) {
		m, err = l.marks(l.Do(ctx, s.readMarks(l.B(), names)), len(names))
		return err
	})
	if err != nil {
		return store.Marks{}, fail("marks", err)
	}
	return m, nil
}

// Raise implements [store.Sequencer].
func (s *Store) Raise(ctx context.Context, names ...string) (uint64, error) {
	args := make([]string, 1, 1+len(names))
	for _, name := range names {
		if arg := "#" + strconv.Itoa(slotsAt+int(slotOf(name))); !slices.Contains(args, arg) {
			args = append(args, arg)
		}
	}
	var number int64
	err := s.onLane(ctx, func(l *lane) (err error) {
		args[0] = string(binary.BigEndian.AppendUint64(nil, l.incarnation.Load()))
		number, err = l.Do(ctx, l.B().Eval().Script(raiseScript).Numkeys(1).Key(s.keys.marks).Arg(args...).Build()).AsInt64()
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

// GetMarked implements [store.Sequencer]: one round trip on one connection. In a Cluster, where the value and the marks
// are on different nodes, it is two at the same time.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	c, err := s.client.get(ctx)
	if err != nil {
		return nil, store.Marks{}, fail("get marked", err)
	}
	valueKey := s.keys.valueKey(key)
	if c.cluster {
		return s.getApart(ctx, c, valueKey, names)
	}
	var m store.Marks
	var value []byte
	var getErr error
	err = s.onLane(ctx, func(l *lane) (err error) {
		replies := l.DoMulti(ctx, l.B().Get().Key(valueKey).Build(), s.readMarks(l.B(), names))
		value, getErr = bytesOf(replies[0])
		m, err = l.marks(replies[1], len(names))
		return err
	})
	if err != nil {
		return nil, store.Marks{}, fail("get marked", err)
	}
	if getErr != nil {
		return nil, m, fail("get marked", getErr)
	}
	return value, m, nil
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

// readMarks reads the incarnation, the newest number and the slots of names as of one moment.
func (s *Store) readMarks(b rueidis.Builder, names []string) rueidis.Completed {
	read := b.BitfieldRo().Key(s.keys.marks).Get().Get(word, 0).Get(word, wordBits)
	for _, name := range names {
		read = read.Get(word, (slotsAt+int64(slotOf(name)))*wordBits)
	}
	return read.Build()
}

// marks decodes the reply to readMarks.
func (l *lane) marks(reply rueidis.RedisResult, names int) (store.Marks, error) {
	words, err := reply.ToArray()
	if err != nil {
		return store.Marks{}, err
	}
	if len(words) != 2+names {
		return store.Marks{}, errors.New("a reply of another length than asked for")
	}
	// Where there are no marks, every word is 0, which is no incarnation.
	m := store.Marks{Slots: make([]uint64, names)}
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

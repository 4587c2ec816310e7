package memstore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/reprise-go/reprise/store"
)

// EntryOverhead is what an entry counts for beyond its key and its value: its node, its share of the hash table and
// of the frequency sketch.
const EntryOverhead = 160

const (
	// stripes is the number of writes that can be told their weight and lifetime at the same time.
	stripes = 64

	// large is the size from which room is made within the write that needs it.
	large = 16 << 10
)

// room hands the cache the weight and the lifetime of what is written, and keeps what has been written but not yet
// been made room for small.
//
// The cache asks for weight and lifetime by callbacks that see only key and value. To keep both in the value would
// put each entry into the next larger size class, 16 bytes of every entry for what is read once.
type room struct {
	slack int64 // how much may be written before room is made

	// begun counts the bytes of writes that were begun, done those of writes that ended, both since room was last made.
	// Room made now is made for all of done.
	begun, done atomic.Int64
	making      sync.Mutex

	stripes [stripes]stripe
}

// stripe is the write in progress among the hashes that share it.
type stripe struct {
	mu     sync.Mutex
	weight uint32
	ttl    time.Duration
	_      [40]byte // no two in one cache line
}

// weigh and ttl are called by the cache within put, on its goroutine.
func (r *room) weigh(hash uint64, _ entry) uint32 { return r.stripes[hash%stripes].weight }

func (s *Store) ttl(e otter.Entry[uint64, entry]) time.Duration {
	ttl := s.room.stripes[e.Key%stripes].ttl
	if ttl >= store.Forever-time.Hour { // of which an hour is not missed
		return store.Forever
	}
	return ttl + s.clock.behind(&e)
}

// put writes e. The cache makes room in the background, in batches of a fixed number of writes, which can be many
// megabytes when values are large. So a writer of a large value, and one that finds too much written already, waits
// its turn and makes room itself: the bound is exceeded by slack and one entry at most.
func (r *room) put(c *otter.Cache[uint64, entry], hash uint64, e entry, weight uint32, ttl time.Duration) {
	w := int64(weight)
	if r.begun.Add(w) <= r.slack && weight < large {
		r.write(c, hash, e, weight, ttl)
		r.done.Add(w)
		return
	}
	r.making.Lock()
	defer r.making.Unlock()
	r.write(c, hash, e, weight, ttl)
	done := r.done.Add(w)
	c.CleanUp()
	r.done.Add(-done)
	r.begun.Add(-done)
}

func (r *room) write(c *otter.Cache[uint64, entry], hash uint64, e entry, weight uint32, ttl time.Duration) {
	st := &r.stripes[hash%stripes]
	st.mu.Lock()
	defer st.mu.Unlock()
	st.weight, st.ttl = weight, ttl
	c.Set(hash, e)
}

// weight returns what an entry counts for; ok is false if it is too large to be kept.
func (s *Store) weight(key string, bytes int64) (weight uint32, ok bool) {
	most := s.limit - EntryOverhead - int64(len(key))
	if bytes < 0 || bytes > most {
		return 0, false
	}
	return uint32(EntryOverhead + int64(len(key)) + bytes), true //nolint:gosec // limit is at most a uint32
}

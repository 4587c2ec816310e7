package filestore

import (
	"sync"
	"time"
)

// samples is how many entries are looked at to find one to evict. The one of them that was used least recently goes,
// which costs no order among all.
const samples = 16

// index is what this process knows of the files: enough to hold the bound and to choose what goes. A read does not
// depend on it.
type index struct {
	mu       sync.Mutex
	entries  map[id]indexed
	bytes    int64 // of entries
	reserved int64 // of files that are being written
	scan     uint32
}

type indexed struct {
	size    int64 // in whole blocks
	expires int64
	used    int64 // when, in Unix nanoseconds
	scan    uint32
}

// reserve announces a file of size bytes.
func (x *index) reserve(size int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reserved += size
}

func (x *index) release(size int64) { x.reserve(-size) }

// put says that the file of i is there, used now.
func (x *index) put(i id, size, expires int64) {
	x.putUsed(i, size, expires, time.Now().UnixNano())
}

func (x *index) putUsed(i id, size, expires, used int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.entries == nil {
		x.entries = make(map[id]indexed)
	}
	x.bytes += size - x.entries[i].size
	x.entries[i] = indexed{size: size, expires: expires, used: used, scan: x.scan}
}

// remove says that the file of i is gone.
func (x *index) remove(i id) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bytes -= x.entries[i].size
	delete(x.entries, i)
}

// seen says that a scan found the file of i with size bytes; known is false if the index did not have it so.
func (x *index) seen(i id, size int64) (known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.entries[i]
	if !ok || e.size != size || expired(e.expires) {
		return false
	}
	e.scan = x.scan
	x.entries[i] = e
	return true
}

// beginScan tells apart what is put or seen from now on.
func (x *index) beginScan() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.scan++
}

// unseen returns what was neither put nor seen since beginScan.
func (x *index) unseen() []id {
	x.mu.Lock()
	defer x.mu.Unlock()
	var ids []id
	for i, e := range x.entries {
		if e.scan != x.scan {
			ids = append(ids, i)
		}
	}
	return ids
}

// victim returns what should go for the bound to hold; ok is false if it holds.
func (x *index) victim(bound int64) (i id, e indexed, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.bytes+x.reserved <= bound {
		return id{}, indexed{}, false
	}
	n := 0
	for j, f := range x.entries { // begins anywhere
		if !ok || f.used < e.used {
			i, e, ok = j, f, true
		}
		if n++; n == samples {
			break
		}
	}
	return i, e, ok
}

// is reports whether i is still as e says.
func (x *index) is(i id, e indexed) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	f, ok := x.entries[i]
	f.scan = e.scan
	return ok && f == e
}

func (x *index) size() (entries int, bytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.entries), x.bytes
}

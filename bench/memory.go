package main

import (
	"fmt"
	"net/http"
	"runtime"

	"github.com/reprise-go/reprise"
)

const memoryNote = `Live heap per entry after a collection, body of 256 bytes. What is left of it after the body, the key and the
names and values of the stored fields is overhead. For the peers body and URL are subtracted, whatever else they keep.
The garbage collector looks at objects, so their number counts too.`

// memory measures what a stored answer takes.
func (b *bench) memory() error {
	t := b.report.table("Memory, "+plural(b.entries, "entry"), memoryNote, "", "bytes per entry", "of them overhead", "objects per entry")
	for _, p := range peers() {
		overhead, total, objects, err := b.entryMemory(p)
		if err != nil {
			return err
		}
		t.add(bold(p.name), fmt.Sprintf("%.0f", total), fmt.Sprintf("%.0f", overhead), fmt.Sprintf("%.1f", objects))
		if p.name == "reprise" {
			b.report.claim("Memory: bytes of an entry beside body, key and fields", "≤ 280", "≤ 240", overhead, 240, "%.0f")
			b.report.claim("Memory: objects of an entry", "≤ 4", "≤ 4", objects, 4.05, "%.2f")
		}
	}
	return nil
}

func (b *bench) entryMemory(p peer) (overhead, total, objects float64, err error) {
	const body, warm = 256, 1000
	runs := 0
	next := missing(func() { runs++ }, origin(text(body)))
	text := body + len(target(0))
	var h http.Handler
	var closeIt func()
	if p.name == "reprise" {
		var c *reprise.Cache
		c, closeIt = openCache(reprise.Config{}, 8<<30)
		h = c.Wrap(next, reprise.TTL(lifetime))
	} else {
		h, closeIt = p.open(next, b.entries+2*warm)
	}
	defer closeIt()
	a := newAskNew(h)
	a.many(warm) // what is not an entry's
	if p.name == "reprise" {
		text = body + len("reprise|GET|http://shop.test|/products/000000000|lang=en")
		for _, f := range record(h, get(target(0))).fields {
			switch f[0] {
			case "Age", "X-Cache", "Cache-Status": // made for each answer
			default:
				text += len(f[0]) + len(f[1])
			}
		}
	}
	before := heap()
	a.many(b.entries)
	a.urls = nil
	after := heap()
	if runs != b.entries+warm {
		return 0, 0, 0, fmt.Errorf("%s: %d runs of the handler for %d URLs", p.name, runs, b.entries+warm)
	}
	n := float64(b.entries)
	total = float64(after.HeapAlloc-before.HeapAlloc) / n
	objects = float64(after.HeapObjects-before.HeapObjects) / n
	a.one(target(b.entries)) // the newest is still there
	runtime.KeepAlive(h)
	if runs != b.entries+warm {
		return 0, 0, 0, fmt.Errorf("%s: it has not stored all of %d entries", p.name, b.entries)
	}
	return total - float64(text), total, objects, nil
}

func heap() runtime.MemStats {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}

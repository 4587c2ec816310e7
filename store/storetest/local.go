package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
)

var localChecks = []check{
	{name: "local/keep_load", needs: "Local", run: keepLoad},
	{name: "local/one_slot", needs: "Local", run: oneSlot},
	{name: "local/refused", needs: "Local", run: keepRefused},
	{name: "local/expiry", needs: "Local", waits: true, run: keepExpiry},
	{name: "local/keys", needs: "Local", run: localKeys},
	{name: "local/no_allocation", needs: "Local", run: loadAllocates},
}

func (e *env) local() store.Local { return e.Store.(store.Local) }

// live checks that key holds the live value v.
func (e *env) live(key string, v any) {
	e.Helper()
	if got, ok := e.local().Load([]byte(key)); !ok || got != v {
		e.Errorf("Load(%q) = %v, %v; want %v, true", key, got, ok, v)
	}
}

func (e *env) notLive(key string) {
	e.Helper()
	if got, ok := e.local().Load([]byte(key)); ok {
		e.Errorf("Load(%q) = %v, true; want nothing", key, got)
	}
}

type livePart struct{ name string }

func keepLoad(e *env) {
	one, two := &livePart{"one"}, &livePart{"two"}
	e.notLive("a")
	e.local().Keep("a", one, 100, lifetime)
	e.live("a", one)
	e.notLive("b")
	e.local().Keep("b", two, 100, store.Forever)
	e.live("a", one)
	e.live("b", two)
	e.local().Keep("a", two, 100, lifetime)
	e.live("a", two)

	// The caller uses its key again for another.
	key := []byte("a")
	if _, ok := e.local().Load(key); !ok {
		e.Errorf("Load(%q) found nothing", key)
	}
	key[0] = 'c'
	e.live("a", two)
	e.notLive("c")
}

// oneSlot: a key holds bytes or a live value, the one that came later.
func oneSlot(e *env) {
	v := &livePart{"v"}
	e.set("a", "bytes", lifetime)
	e.notLive("a")
	e.local().Keep("a", v, 100, lifetime)
	e.live("a", v)
	e.hasNot("a")
	if m, ok := e.Store.(store.MultiGetter); ok {
		if got, err := m.GetMulti(e.ctx, []string{"a"}); err != nil || len(got) != 1 || got[0] != nil {
			e.Errorf("GetMulti of a live value = %q, %v; want nil", got, err)
		}
	}
	e.set("a", "again", lifetime)
	e.notLive("a")
	e.has("a", "again")

	e.local().Keep("a", v, 100, lifetime)
	e.deletes(1, "a", "b")
	e.notLive("a")
	e.deletes(0, "a")

	// A live []byte is not what Set keeps.
	e.local().Keep("b", []byte("live"), 4, lifetime)
	e.hasNot("b")
	if got, ok := e.local().Load([]byte("b")); !ok || string(got.([]byte)) != "live" {
		e.Errorf("Load of a live []byte = %v, %v; want it", got, ok)
	}
}

// keepRefused: what is not kept leaves nothing older behind.
func keepRefused(e *env) {
	v := &livePart{"v"}
	for name, keep := range map[string]func(key string){
		"too large": func(key string) { e.local().Keep(key, v, 1<<62, lifetime) },
		"ttl 0":     func(key string) { e.local().Keep(key, v, 100, 0) },
		"ttl < 0":   func(key string) { e.local().Keep(key, v, 100, -time.Hour) },
	} {
		e.local().Keep("live", v, 100, lifetime)
		e.set("bytes", "v", lifetime)
		keep("live")
		keep("bytes")
		keep("new")
		for _, key := range []string{"live", "bytes", "new"} {
			if _, ok := e.local().Load([]byte(key)); ok || !e.gone(key) {
				e.Errorf("Keep(%s) over %q left something there; want nothing", name, key)
			}
		}
	}
}

func keepExpiry(e *env) {
	ttl := max(e.cfg.Unit, 200*time.Millisecond)
	v := &livePart{"v"}
	e.local().Keep("forever", v, 100, store.Forever)
	e.local().Keep("lengthened", v, 100, ttl)
	e.local().Keep("lengthened", v, 100, time.Hour)
	e.local().Keep("shortened", v, 100, time.Hour)
	e.local().Keep("shortened", v, 100, ttl)
	begin := time.Now()
	e.local().Keep("short", v, 100, ttl)
	if _, ok := e.local().Load([]byte("short")); !ok && time.Since(begin) < ttl {
		e.Errorf("Load found nothing %v after Keep(ttl %v)", time.Since(begin), ttl)
	}
	if e.cfg.Bubble && e.cfg.Unit == 0 {
		time.Sleep(ttl - 1 - time.Since(begin))
		if _, ok := e.local().Load([]byte("short")); !ok {
			e.Errorf("Load found nothing %v after Keep(ttl %v)", time.Since(begin), ttl)
		}
		time.Sleep(time.Second)
		if _, ok := e.local().Load([]byte("short")); ok {
			e.Errorf("Load found what was kept for %v a second after that time", ttl)
		}
	}
	for _, key := range []string{"short", "shortened"} {
		e.soon(ttl+e.cfg.Unit, key+" expires", func() bool { _, ok := e.local().Load([]byte(key)); return !ok })
	}
	e.deletes(0, "short", "shortened")
	e.live("forever", v)
	e.live("lengthened", v)
}

func localKeys(e *env) {
	keys := keysToTell()
	for i, key := range keys {
		e.local().Keep(key, i, 100, lifetime)
	}
	for i, key := range keys {
		e.live(key, i)
		if i%2 == 0 {
			e.deletes(1, key)
		}
	}
	for i, key := range keys {
		if i%2 == 0 {
			e.notLive(key)
		} else {
			e.live(key, i)
		}
	}
}

func loadAllocates(e *env) {
	local, keys := e.local(), make([][]byte, 100)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key%d", i)
		local.Keep(string(keys[i]), &livePart{"v"}, 100, lifetime)
	}
	n := testing.AllocsPerRun(100, func() {
		for _, key := range keys {
			local.Load(key)
		}
	})
	if n/float64(len(keys)) >= 0.1 { // what is left is upkeep, now and then
		e.Errorf("Load allocates %.2f times; want 0", n/float64(len(keys)))
	}
}

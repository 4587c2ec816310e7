package storetest

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

var timeChecks = []check{
	{name: "ttl/expiry", waits: true, run: expiry},
	{name: "ttl/exact", waits: true, run: exactExpiry},
	{name: "ttl/not_positive", waits: true, run: notPositive},
}

const day = 24 * time.Hour

// expiry: each value goes when its time has come, and not before.
func expiry(e *env) {
	short := max(e.cfg.Unit, 200*time.Millisecond)
	begin := time.Now()
	// alive checks that key holds value, unless its time may have come.
	alive := func(key, value string, ttl time.Duration) {
		got, err := e.Get(e.ctx, key)
		if (err != nil || string(got) != value) && time.Since(begin) < ttl {
			e.Errorf("Get(%q) = %s, %v, %v after Set(ttl %v); want %q", key, brief(got), err, time.Since(begin), ttl, value)
		}
	}
	stay := map[string]time.Duration{
		"hour": time.Hour, "30days": 30 * day, "31days": 31 * day, "years": 20 * 365 * day, "century": 100 * 365 * day,
		"forever": store.Forever, "almost_forever": store.Forever - 1,
	}
	for key, ttl := range stay {
		e.set(key, "stays", ttl)
	}
	e.set("lengthened", "v1", short)
	e.set("lengthened", "v2", time.Hour)
	e.set("unlimited", "v1", short)
	e.set("unlimited", "v2", store.Forever)
	begin = time.Now()
	e.set("shortened", "v1", time.Hour)
	e.set("shortened", "v2", short)
	e.set("limited", "v1", store.Forever)
	e.set("limited", "v2", short)
	e.set("short", "v", short)
	e.set("fraction", "v", short*3/2)
	e.set("tiny", "v", time.Millisecond) // below the unit of most servers: rounded up, not to nothing and not to for ever
	e.set("least", "v", 1)
	e.set("deleted", "v", short)
	alive("shortened", "v2", short)
	alive("limited", "v2", short)
	alive("short", "v", short)
	alive("fraction", "v", short*3/2)
	if e.cfg.Unit >= time.Second {
		alive("tiny", "v", time.Millisecond)
	}

	keys := []string{"shortened", "limited", "short", "fraction", "tiny", "least", "deleted"}
	for _, key := range keys {
		e.soon(2*short+2*e.cfg.Unit, key+" expires", func() bool { return e.gone(key) })
	}
	for _, key := range keys {
		e.hasNot(key)
	}
	e.deletes(0, keys...)
	if m, ok := e.Store.(store.MultiGetter); ok {
		if values, err := m.GetMulti(e.ctx, []string{"short", "hour"}); err != nil || len(values) != 2 || values[0] != nil || values[1] == nil {
			e.Errorf("GetMulti(expired, live) = %q, %v; want nil and a value", values, err)
		}
	}
	for key := range stay {
		e.has(key, "stays")
	}
	e.has("lengthened", "v2")
	e.has("unlimited", "v2")
	e.set("short", "again", time.Hour)
	e.has("short", "again")
}

// exactExpiry: under a fake clock a value is there until its time has come and gone from then on.
func exactExpiry(e *env) {
	if !e.cfg.Bubble || e.cfg.Unit > 0 {
		e.Logf("times are not exact")
		return
	}
	for _, ttl := range []time.Duration{1, time.Millisecond, time.Second, time.Hour + 1} {
		e.set("key", "v", ttl)
		time.Sleep(ttl - 1)
		e.has("key", "v")
		time.Sleep(time.Nanosecond)
		e.hasNot("key")
		e.deletes(0, "key")
	}
	e.set("key", "v", store.Forever)
	time.Sleep(day)
	e.has("key", "v")
}

// notPositive: a ttl that the contract forbids may be refused, but is not taken for ever.
func notPositive(e *env) {
	for key, ttl := range map[string]time.Duration{"zero": 0, "minus": -time.Second, "least": -1 << 63} {
		if err := e.Set(e.ctx, key, []byte("v"), ttl); err != nil {
			e.Logf("Set(ttl %v) = %v", ttl, err)
		}
		e.soon(2*e.cfg.Unit, key+" is gone", func() bool { return e.gone(key) })
	}
}

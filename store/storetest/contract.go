package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/reprise-go/reprise/store"
)

var storeChecks = []check{
	{name: "store/absent", run: absent},
	{name: "store/set_get", run: setGet},
	{name: "store/delete", run: deleteCounts},
	{name: "store/delete_many", run: deleteMany},
}

func absent(e *env) {
	e.hasNot("absent")
	e.deletes(0, "absent")
	e.deletes(0)
	e.hasNot("absent")
}

func setGet(e *env) {
	e.set("a", "1", lifetime)
	e.has("a", "1")
	e.has("a", "1")
	e.hasNot("b")
	e.set("a", "a longer one", lifetime)
	e.has("a", "a longer one")
	e.set("a", "2", lifetime)
	e.has("a", "2")
	e.set("b", "3", lifetime)
	e.has("a", "2")
	e.has("b", "3")
}

func deleteCounts(e *env) {
	for _, key := range []string{"a", "b", "c", "d"} {
		e.set(key, key, lifetime)
	}
	e.deletes(2, "a", "absent", "b")
	e.hasNot("a")
	e.hasNot("b")
	e.has("c", "c")
	e.deletes(0, "a", "b")
	// After its first removal a key holds nothing. Some servers refuse a batch that names a key twice.
	e.deletes(1, "c", "c")
	e.has("d", "d")
	e.set("a", "again", lifetime)
	e.has("a", "again")
	e.deletes(1, "a")
}

// deleteMany exceeds what one request of common servers can carry.
func deleteMany(e *env) {
	var keys []string
	for i := range 120 {
		keys = append(keys, fmt.Sprintf("key%d", i))
		e.set(keys[i], "v", lifetime)
	}
	for i := range 200 {
		keys = append(keys, fmt.Sprintf("absent%d", i))
	}
	e.deletes(120, keys...)
	e.deletes(0, keys...)
}

var keyChecks = []check{
	{name: "keys/unlike", run: unlikeKeys},
	{name: "keys/outside", run: outsideKeys},
}

// keysToTell are keys that stores have been seen to take for each other, for a path, a pattern or a command.
func keysToTell() []string {
	keys := []string{
		"key", "Key", "KEY", "k", "k1", "k10", "k100",
		"a:b", "a::b", "a:b:", ":a:b", "a|b", `a\|b`, `a\b`, `a\\b`,
		"a/b", "a//b", "a/./b", "a/../b", "../../etc/passwd", "..", "./", "/a", "a/", "//", "C:/x", "con", "nul.txt", "a.", "-rf", "--",
		"a%2fb", "a%2Fb", "%61", "a+b", "a&b", "a=b", "a?b", "a;b", "a#b",
		"h*", "h?", "h[ae]llo", "hello", "hallo", "h^", `h\*`, "{tag}a", "{tag}b", "{}", "${x}", "$1", "%s", "%00",
		"'", `"`, `a"b`, "`", "<a>", "null", "0", "00", "-1", "1e1", "10",
	}
	var every []byte
	for c := byte('!'); c <= '~'; c++ {
		every = append(every, c)
		keys = append(keys, string(c))
	}
	long := strings.Repeat("x", store.MaxKey-1)
	keys = append(keys, string(every), long, long+"a", long+"b", "a"+long, "b"+long,
		strings.Repeat("/", store.MaxKey), strings.Repeat("%", store.MaxKey), strings.Repeat(".", store.MaxKey))
	seen := make(map[string]bool)
	unique := keys[:0]
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			unique = append(unique, key)
		}
	}
	return unique
}

// unlikeKeys: no two keys are one.
func unlikeKeys(e *env) {
	keys := keysToTell()
	for _, key := range keys {
		e.set(key, "value of "+key, lifetime)
	}
	for _, key := range keys {
		e.has(key, "value of "+key)
	}
	for i, key := range keys {
		if i%2 == 0 {
			e.deletes(1, key)
		}
	}
	for i, key := range keys {
		if i%2 == 0 {
			e.hasNot(key)
		} else {
			e.has(key, "value of "+key)
		}
	}
}

// outsideKeys: a key that is none may be refused, but it is never taken for another.
func outsideKeys(e *env) {
	e.set("a", "value of a", lifetime)
	e.set("a_b", "value of a_b", lifetime)
	long := strings.Repeat("x", store.MaxKey)
	e.set(long, "value of x", lifetime)
	outside := []string{"", " ", "a ", " a", "a b", "a\x00", "\x00", "a\n", "a\r\nset b 0 0 1", "a\x7f", "ä", "\xff", long + "x"}
	for _, key := range outside {
		value := []byte("value of " + key)
		if err := e.Set(e.ctx, key, value, lifetime); err != nil {
			continue
		}
		if got, err := e.Get(e.ctx, key); err == nil && !bytes.Equal(got, value) {
			e.Errorf("Get(%q) = %s; want %s or an error", key, brief(got), brief(value))
		}
	}
	for _, key := range outside {
		value := []byte("value of " + key)
		if got, err := e.Get(e.ctx, key); err == nil && !bytes.Equal(got, value) {
			e.Errorf("Get(%q) = %s; want %s or an error", key, brief(got), brief(value))
		}
		_, _ = e.Delete(e.ctx, key) // must not panic
	}
	e.has("a", "value of a")
	e.has("a_b", "value of a_b")
	e.has(long, "value of x")
}

var valueChecks = []check{
	{name: "values/exact", run: exactValues},
	{name: "values/large", run: largeValues},
	{name: "values/frozen", run: frozenValues},
}

// exactValues: what comes back is what was set, byte for byte.
func exactValues(e *env) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, value := range []string{
		"", "x", "\x00", "\xff", string(every), "\r\n", "END\r\n", "VALUE a 0 1\r\nb\r\nEND\r\n", "$-1\r\n", "-ERR\r\n",
		"nil", "null", "0", " ", "\ufeff", "\x1f\x8b\x08", strings.Repeat("\x00", 4096), strings.Repeat("ab", 10_000),
	} {
		key := fmt.Sprintf("key%d", i)
		e.set(key, value, lifetime)
		e.has(key, value)
	}
	e.deletes(1, "key0") // empty, and yet something
}

// largeValues: values are kept whole up to MaxValue, and kept whole or refused above.
func largeValues(e *env) {
	pattern := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i>>8) ^ byte(i)
		}
		return b
	}
	for _, n := range []int{1023, 1 << 10, 64 << 10, e.cfg.MaxValue - 1, e.cfg.MaxValue} {
		key := fmt.Sprintf("key%d", n)
		e.set(key, string(pattern(n)), lifetime)
		e.has(key, string(pattern(n)))
	}
	for _, n := range []int{e.cfg.MaxValue + 1, 2*e.cfg.MaxValue + 1} {
		e.set("large", "old", lifetime)
		err := e.Set(e.ctx, "large", pattern(n), lifetime)
		if err != nil && !errors.Is(err, store.ErrTooLarge) {
			e.Errorf("Set of %d bytes = %v; want nil or ErrTooLarge", n, err)
		}
		got, getErr := e.Get(e.ctx, "large")
		whole := getErr == nil && bytes.Equal(got, pattern(n))
		old := getErr == nil && string(got) == "old"
		none := errors.Is(getErr, store.ErrNotFound)
		if err == nil && !whole || err != nil && !whole && !old && !none {
			e.Errorf("Get after Set of %d bytes = %v: %s, %v; want the whole value, and after an error the old one or none",
				n, err, brief(got), getErr)
		}
	}
	// A value that took several pieces leaves none of them in a short one.
	key := fmt.Sprintf("key%d", e.cfg.MaxValue)
	e.set(key, "short", lifetime)
	e.has(key, "short")
	e.deletes(1, key)
	e.hasNot(key)
}

// frozenValues: the store changes neither the bytes it was given nor the bytes it gave.
func frozenValues(e *env) {
	for _, n := range []int{1, 100, 10_000, 100_000} {
		one, two := bytes.Repeat([]byte{1}, n), bytes.Repeat([]byte{2}, n)
		given := bytes.Clone(one)
		if err := e.Set(e.ctx, "key", given, lifetime); err != nil {
			e.Fatalf("Set of %d bytes = %v; want nil", n, err)
		}
		got, err := e.Get(e.ctx, "key")
		if err != nil {
			e.Fatalf("Get of %d bytes = %v; want nil", n, err)
		}
		for range 10 { // whatever buffers the store reuses, it reuses now
			if err := e.Set(e.ctx, "key", bytes.Clone(two), lifetime); err != nil {
				e.Fatalf("Set of %d bytes = %v; want nil", n, err)
			}
			if again, err := e.Get(e.ctx, "key"); err != nil || !bytes.Equal(again, two) {
				e.Errorf("Get after Set = %s, %v; want %s", brief(again), err, brief(two))
			}
		}
		e.deletes(1, "key")
		if !bytes.Equal(given, one) {
			e.Errorf("the %d bytes given to Set were changed", n)
		}
		if !bytes.Equal(got, one) {
			e.Errorf("the %d bytes returned by Get were changed", n)
		}
	}
}

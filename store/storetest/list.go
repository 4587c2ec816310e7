package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/store"
)

var listChecks = []check{
	{name: "list/prefix", needs: "Lister", run: listPrefix},
	{name: "list/many", needs: "Lister", run: listMany},
	{name: "clear/prefix", needs: "Clearer", run: clearPrefix},
	{name: "clear/many", needs: "Clearer", run: clearMany},
	{name: "size", needs: "Sizer", run: size},
}

func (e *env) list(prefix string) []string {
	e.Helper()
	var keys []string
	for key, err := range e.Store.(store.Lister).Keys(e.ctx, prefix) {
		if err != nil {
			e.Fatalf("Keys(%q) = %v; want nil", prefix, err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func withPrefix(keys []string, prefix string) []string {
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !strings.HasPrefix(key, prefix) })
	slices.Sort(keys)
	return keys
}

// prefixes have what patterns give a meaning to; here it has none.
var prefixes = []string{"", "h", "h*", "h?", "h[", "h[ae]", `h\`, "a:", "a/", "..", "{tag}", "%", "key", "KEY", "nothing with this", "*", "?", "[", "!"}

func listPrefix(e *env) {
	keys := keysToTell()
	e.fill(keys)
	if e.sequencing() {
		e.raise("h", "a:b")
	}
	if implements[store.Locker](e.Store) {
		e.lock("hello", lifetime)
	}
	if implements[store.Local](e.Store) {
		keys = append(keys, "hlive", "h*live")
		e.local().Keep("hlive", 1, 100, lifetime)
		e.local().Keep("h*live", 1, 100, lifetime)
	}
	for _, prefix := range prefixes {
		e.lists(prefix, withPrefix(keys, prefix))
	}
	e.deletes(1, "hello")
	e.lists("hello", nil)
}

// lists checks that the keys with prefix are want, which is sorted.
func (e *env) lists(prefix string, want []string) {
	e.Helper()
	got := e.list(prefix)
	if slices.Equal(got, want) {
		return
	}
	without := func(all, some []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(key string) bool { return slices.Contains(some, key) })
	}
	e.Errorf("Keys(%q) yielded %d keys, want %d; too many: %s; missing: %s",
		prefix, len(got), len(want), briefKeys(without(got, want)), briefKeys(without(want, got)))
}

func (e *env) sequencing() bool { return implements[store.Sequencer](e.Store) }

// listMany: every key once, however many, and the loop may stop and may use the store.
func listMany(e *env) {
	var want, others []string
	for i := range 3000 {
		want = append(want, fmt.Sprintf("key%d", i))
		if i%10 == 0 {
			others = append(others, fmt.Sprintf("other%d", i))
		}
	}
	e.fill(want)
	e.fill(others)
	slices.Sort(want)
	e.lists("key", want)
	seen := 0
	for key, err := range e.Store.(store.Lister).Keys(e.ctx, "key") {
		if err != nil {
			e.Fatalf("Keys = %v; want nil", err)
		}
		e.has(key, "v")
		e.deletes(1, key)
		if seen++; seen == 10 {
			break
		}
	}
	if got := e.list("key"); len(got) != 2990 {
		e.Errorf("Keys after 10 deletions yielded %d keys; want 2990", len(got))
	}
}

func (e *env) clears(want int, prefix string) {
	e.Helper()
	n, err := e.Store.(store.Clearer).Clear(e.ctx, prefix)
	if err != nil || n != want {
		e.Errorf("Clear(%q) = %d, %v; want %d, nil", prefix, n, err, want)
	}
}

// clearPrefix: what begins with the prefix goes, and nothing else.
func clearPrefix(e *env) {
	keys := keysToTell()
	e.fill(keys)
	for _, prefix := range prefixes {
		matching := withPrefix(keys, prefix)
		e.clears(len(matching), prefix)
		for _, key := range keys {
			if gone := e.gone(key); gone != strings.HasPrefix(key, prefix) {
				e.Errorf("after Clear(%q) %q is gone: %v; want %v", prefix, key, gone, !gone)
			}
		}
		e.fill(matching)
	}
	e.clears(0, "nothing with this")
	if implements[store.Local](e.Store) {
		e.local().Keep("hlive", 1, 100, lifetime)
		e.local().Keep("live", 1, 100, lifetime)
		e.clears(len(withPrefix(append(keys, "hlive"), "h")), "h")
		e.notLive("hlive")
		e.live("live", 1)
	}
}

func clearMany(e *env) {
	var keys []string
	for i := range 2000 {
		keys = append(keys, fmt.Sprintf("key%d", i))
	}
	e.fill(keys)
	e.set("other", "v", lifetime)
	e.clears(2000, "key")
	e.clears(0, "key")
	e.has("other", "v")
	e.clears(1, "")
	e.hasNot("other")
}

// size: what is there is counted.
func size(e *env) {
	sizer := e.Store.(store.Sizer)
	at := func(entries int, bytes int64) {
		e.Helper()
		var n int
		var b int64
		e.soon(0, fmt.Sprintf("Size() is %d, at least %d", entries, bytes), func() bool {
			n, b = sizer.Size()
			return n == entries && b >= bytes
		})
	}
	at(0, 0)
	for i := range 10 {
		e.set(fmt.Sprintf("key%d", i), strings.Repeat("v", 1000), lifetime)
	}
	at(10, 10_000)
	e.set("key0", strings.Repeat("v", 5000), lifetime)
	at(10, 14_000)
	_, before := sizer.Size()
	e.deletes(5, "key0", "key1", "key2", "key3", "key4")
	at(5, 5000)
	e.soon(0, fmt.Sprintf("Size() is %d bytes less by 9,000 that were deleted", before), func() bool {
		_, after := sizer.Size()
		return after <= before-9000
	})
	e.deletes(5, "key5", "key6", "key7", "key8", "key9")
	at(0, 0)
}

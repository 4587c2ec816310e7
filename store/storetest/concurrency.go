package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/reprise-go/reprise/store"
)

var concurrencyChecks = []check{
	{name: "concurrent/values", run: concurrentValues},
}

var closeChecks = []check{
	{name: "close/after", needs: "Closer", run: afterClose},
	{name: "close/during", needs: "Closer", run: duringClose},
}

// selfTelling is a value that shows whether it is whole and whose it is.
func selfTelling(key string, writer, n int) []byte {
	part := fmt.Sprintf("%s/%d/%d;", key, writer, n)
	return []byte(strings.Repeat(part, 1+(n*37)%200))
}

func whole(key string, value []byte) bool {
	part, _, found := bytes.Cut(value, []byte(";"))
	part = append(bytes.Clone(part), ';')
	return found && strings.HasPrefix(string(part), key+"/") &&
		bytes.Equal(value, bytes.Repeat(part, len(value)/len(part)))
}

// concurrentValues: whatever runs at the same time, a key holds one whole value of its own.
func concurrentValues(e *env) {
	const workers, rounds, keys = 8, 60, 4
	multi, _ := e.Store.(store.MultiGetter)
	all := []string{"key0", "key1", "key2", "key3"}
	verify := func(key string, value []byte) {
		if value != nil && !whole(key, value) {
			e.Errorf("Get(%q) = %s: torn, or another key's", key, brief(value))
		}
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range rounds {
				key := all[(w+n)%keys]
				if err := e.Set(e.ctx, key, selfTelling(key, w, n), lifetime); err != nil {
					e.Errorf("Set = %v; want nil", err)
				}
				for _, key := range []string{key, all[(w+n+1)%keys]} {
					value, err := e.Get(e.ctx, key)
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						e.Errorf("Get = %v; want nil or ErrNotFound", err)
					}
					verify(key, value)
				}
				if multi != nil && n%5 == 0 {
					values, err := multi.GetMulti(e.ctx, all)
					if err != nil || len(values) != keys {
						e.Errorf("GetMulti = %d values, %v; want %d", len(values), err, keys)
						continue
					}
					for i, value := range values {
						verify(all[i], value)
					}
				}
				if n%7 == 0 {
					if _, err := e.Delete(e.ctx, key); err != nil {
						e.Errorf("Delete = %v; want nil", err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// afterClose: a closed store says so and gives nothing.
func afterClose(e *env) {
	e.set("key", "v", lifetime)
	closer := e.Store.(io.Closer)
	if err := closer.Close(); err != nil {
		e.Errorf("Close = %v; want nil", err)
	}
	for _, o := range ops(e.Store) {
		if err := o.call(e.ctx); err == nil || errors.Is(err, store.ErrNotFound) {
			e.Errorf("%s after Close = %v; want ErrClosed", o.name, err)
		}
	}
	if value, err := e.Get(e.ctx, "key"); value != nil {
		e.Errorf("Get after Close = %s, %v; want nil", brief(value), err)
	}
	if l, ok := e.Store.(store.Local); ok {
		l.Keep("key", "live", 4, lifetime)
		if v, ok := l.Load([]byte("key")); ok {
			e.Errorf("Load after Close = %v; want nothing", v)
		}
	}
	if s, ok := e.Store.(store.Sizer); ok {
		s.Size() // must not panic
	}
	_ = closer.Close() // neither must this
}

// duringClose: Close may come at any moment.
func duringClose(e *env) {
	var wg, begun sync.WaitGroup
	stop := make(chan struct{})
	for w := range 4 {
		begun.Add(1)
		wg.Go(func() {
			key := fmt.Sprintf("key%d", w)
			_ = e.Set(e.ctx, key, selfTelling(key, w, 0), lifetime)
			begun.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				_ = e.Set(e.ctx, key, selfTelling(key, w, n), lifetime)
				other := fmt.Sprintf("key%d", (w+1)%4)
				if value, err := e.Get(e.ctx, other); err == nil && !whole(other, value) {
					e.Errorf("Get(%q) while Close runs = %s: torn, or another key's", other, brief(value))
				}
			}
		})
	}
	begun.Wait()
	if err := e.Store.(io.Closer).Close(); err != nil {
		e.Errorf("Close = %v; want nil", err)
	}
	close(stop)
	wg.Wait()
}

package storetest

import (
	"fmt"

	"github.com/reprise-go/reprise/store"
)

var multiChecks = []check{
	{name: "multi/order", needs: "MultiGetter", run: multiOrder},
	{name: "multi/many", needs: "MultiGetter", run: multiMany},
}

func (e *env) getMulti(keys ...string) [][]byte {
	e.Helper()
	values, err := e.Store.(store.MultiGetter).GetMulti(e.ctx, keys)
	if err != nil || len(values) != len(keys) {
		e.Fatalf("GetMulti(%s) = %d values, %v; want %d, nil", briefKeys(keys), len(values), err, len(keys))
	}
	return values
}

// multiOrder: a value for each key in the order of keys, nil for none, and not nil for one of no bytes.
func multiOrder(e *env) {
	e.set("a", "value of a", lifetime)
	e.set("b", "value of b", lifetime)
	e.set("empty", "", lifetime)
	e.getMulti()
	keys := []string{"b", "absent", "a", "empty", "absent2", "b"}
	want := []string{"value of b", "", "value of a", "", "", "value of b"}
	for i, value := range e.getMulti(keys...) {
		none := keys[i] == "absent" || keys[i] == "absent2"
		if string(value) != want[i] || (value == nil) != none {
			e.Errorf("GetMulti: value %d, of %q, = %s; want %q, nil: %v", i, keys[i], brief(value), want[i], none)
		}
	}
	if values := e.getMulti("absent"); values[0] != nil {
		e.Errorf("GetMulti(absent) = %s; want nil", brief(values[0]))
	}
}

// multiMany exceeds what one request of common servers can carry.
func multiMany(e *env) {
	var keys []string
	for i := range 250 {
		keys = append(keys, fmt.Sprintf("key%d", i))
		if i%3 > 0 {
			e.set(keys[i], "value of "+keys[i], lifetime)
		}
	}
	for i, value := range e.getMulti(keys...) {
		switch {
		case i%3 == 0 && value != nil:
			e.Errorf("GetMulti: value of %q = %s; want nil", keys[i], brief(value))
		case i%3 > 0 && string(value) != "value of "+keys[i]:
			e.Errorf("GetMulti: value of %q = %s; want its own", keys[i], brief(value))
		}
	}
}

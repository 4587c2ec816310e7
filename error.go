package reprise

import (
	"fmt"
	"strings"
)

// ConfigError is a mistake in a [Config] or an option. New, NewRoute and NewFunc return every mistake at once, joined
// by errors.Join; errors.As finds the first.
type ConfigError struct {
	Option string // the field or option, as it is written: "TTL"
	Value  any    // what was given
	Reason string // what is wrong with it and what to do
}

func (e *ConfigError) Error() string {
	const most = 100 // bytes of a text that are shown
	switch v := e.Value.(type) {
	case nil:
		return fmt.Sprintf("reprise: %s: %s", e.Option, e.Reason)
	case string:
		if len(v) > most {
			v = strings.ToValidUTF8(v[:most], "") + "…"
		}
		return fmt.Sprintf("reprise: %s(%q): %s", e.Option, v, e.Reason)
	default:
		return fmt.Sprintf("reprise: %s(%v): %s", e.Option, v, e.Reason)
	}
}

// StoreError is a failure of the store. Requests never see one: a failed look-up is a miss, a failed write is an event
// and a log line. What an application asks for itself (Delete, Clear, InvalidateTags, Get, Set …) returns it.
type StoreError struct {
	Op  string // "get", "set", "delete", "raise" …
	Err error  // the store's own
}

func (e *StoreError) Error() string { return "reprise: store " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the store's own error.
func (e *StoreError) Unwrap() error { return e.Err }

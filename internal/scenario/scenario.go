package scenario

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Open prepares what outlives a process, such as a directory or a server, and returns how a process is started on it.
// It runs outside the fake clock; start and the Subject run under it.
type Open func(t *testing.T) (start func(config []Option) (Subject, error))

// Subject is one process with a cache in it.
type Subject interface {
	// Handler wraps origin as the route says.
	Handler(route Route, origin http.Handler) (http.Handler, error)

	// Do runs a command and returns what it prints. From inside a handler, ctx is the context of the request.
	Do(ctx context.Context, call Call) (string, error)

	// Close ends the process: its goroutines, and what start opened.
	Close() error
}

// Route is a line of options.
type Route struct {
	Pattern string // as http.ServeMux takes it; "" serves everything
	Options []Option
}

// Call is a command.
type Call struct {
	Name string
	Args []string

	// Request is the request that the last two of Args name, and Route what Subject.Handler returned for the route
	// that it would reach; nil if they name none.
	Request *http.Request
	Route   http.Handler
}

// Option is NAME or NAME=VALUE.
type Option struct{ Name, Value string }

// String returns o as it is written.
func (o Option) String() string {
	if o.Value == "" {
		return o.Name
	}
	return o.Name + "=" + o.Value
}

// List returns the parts of the value between commas.
func (o Option) List() []string {
	if o.Value == "" {
		return nil
	}
	return strings.Split(o.Value, ",")
}

// Pair returns what stands before and behind the first colon of the value.
func (o Option) Pair() (name, value string) {
	name, value, _ = strings.Cut(o.Value, ":")
	return name, value
}

// Duration reads the value as a duration; forever is the longest there is.
func (o Option) Duration() (time.Duration, error) { return o.duration(o.Value) }

// PairDuration reads the value as a text, a colon and a duration.
func (o Option) PairDuration() (string, time.Duration, error) {
	name, value := o.Pair()
	d, err := o.duration(value)
	return name, d, err
}

func (o Option) duration(s string) (time.Duration, error) {
	if s == "forever" {
		return math.MaxInt64, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("scenario: option %s: %w", o, err)
	}
	return d, nil
}

// Ints reads the parts of the value as numbers.
func (o Option) Ints() ([]int, error) {
	var ns []int
	for _, s := range o.List() {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("scenario: option %s: %w", o, err)
		}
		ns = append(ns, n)
	}
	return ns, nil
}

// On reads the value as a switch: on (also without a value) or off.
func (o Option) On() (bool, error) {
	switch o.Value {
	case "", "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("scenario: option %s: neither on nor off", o)
}

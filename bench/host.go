package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// host stands in for the test that package realserver starts servers for.
type host struct {
	testing.TB
	cleanups []func()
}

var errNoServer = errors.New("not installed")

// refused is what a host panics with where a test would end.
type refused struct{ err error }

func (h *host) Helper()                  {}
func (h *host) Context() context.Context { return context.Background() }
func (h *host) Cleanup(f func())         { h.cleanups = append(h.cleanups, f) }
func (h *host) Skip(args ...any) {
	panic(refused{fmt.Errorf("%w: %s", errNoServer, fmt.Sprint(args...))})
}
func (h *host) Fatal(args ...any)            { panic(refused{errors.New(fmt.Sprint(args...))}) }
func (h *host) Errorf(f string, args ...any) { panic(refused{fmt.Errorf(f, args...)}) }

// hosted calls f with a host and stops what f has started. The error is errNoServer if something is not installed.
func hosted(f func(*host) error) (err error) {
	h := &host{}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case refused:
			err = v.err
		default:
			panic(v)
		}
	}()
	defer func() {
		for _, f := range slices.Backward(h.cleanups) {
			f()
		}
	}()
	return f(h)
}

package reprise

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrFillTimeout is what a call of a function returns, wrapped, when the loader took longer than [FillTimeout].
var ErrFillTimeout = errors.New("the loader took longer than FillTimeout")

// ErrNotLoaded is the error of a key for which a [LoadMany] function returned nothing, neither a value nor an error.
var ErrNotLoaded = errors.New("reprise: LoadMany returned nothing for the key")

// StaleError comes with a value: the loader failed, and what is returned beside the error is the last good value, as
// [StaleIfError] allows. A caller that treats it as any other error loses nothing but the value; one that is content
// with an old value asks for it:
//
//	product, err := reprise.AllowStale(product(ctx, 42))
type StaleError struct {
	Err error         // why there is no newer value
	Age time.Duration // of the value
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("reprise: a value of %v ago, because: %v", e.Age.Round(time.Millisecond), e.Err)
}

// Unwrap returns the loader's error.
func (e *StaleError) Unwrap() error { return e.Err }

// AllowStale fits around a call of a function that has [StaleIfError]: it returns v without the error if that is a
// [*StaleError], and both as they are otherwise. Of a [*ManyError] it leaves out those of keys that have an old value.
func AllowStale[V any](v V, err error) (V, error) {
	// Not errors.As: an error that wraps another function's StaleError comes without a value.
	switch e := err.(type) { //nolint:errorlint // see above
	case *StaleError:
		return v, nil
	case *ManyError:
		rest, failed := make([]error, len(e.Errs)), false
		for i, err := range e.Errs {
			if _, ok := err.(*StaleError); !ok { //nolint:errorlint // see above
				rest[i] = err
				failed = failed || err != nil
			}
		}
		if failed {
			return v, &ManyError{Errs: rest}
		}
		return v, nil
	}
	return v, err
}

// PanicError is a panic of a loader. The call that began the load panics with it; who waited for the same load gets it as
// an error.
type PanicError struct {
	Value any    // what the loader panicked with
	Stack []byte // where, as debug.Stack tells it
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("reprise: the loader panicked: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns what the loader panicked with, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// RememberedError is an error of a loader that was kept by [ErrorTTL] in a store outside the process, where only its text is left.
type RememberedError struct{ Text string }

func (e *RememberedError) Error() string { return e.Text }

// ManyError tells which keys of a [Func.GetMany] failed. A [LoadMany] function may return one, too.
type ManyError struct {
	// Errs has an error for each key, in the order of the keys; nil for a key that has its value.
	Errs []error
}

func (e *ManyError) Error() string {
	var first error
	n := 0
	for _, err := range e.Errs {
		if err != nil {
			if n++; first == nil {
				first = err
			}
		}
	}
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "reprise: %d of %d keys failed", n, len(e.Errs))
	if first != nil {
		_, _ = fmt.Fprintf(&b, "; the first: %v", first)
	}
	return b.String()
}

// Unwrap returns the errors that are not nil.
func (e *ManyError) Unwrap() []error {
	var errs []error
	for _, err := range e.Errs {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

package reprise

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLimited: whoever looks at the context sees what context.WithDeadline would show, however it looks, and whether the store is one
// that waits for the end of contexts or not.
func TestLimited(t *testing.T) {
	const (
		limit = 250 * time.Millisecond
		poll  = time.Millisecond
	)
	type key struct{}
	polled := func(ctx context.Context) error {
		for ctx.Err() == nil {
			time.Sleep(poll)
		}
		return ctx.Err()
	}
	waited := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for name, end := range map[string]func(context.Context) error{
		"Err":  polled,
		"Done": waited,
		"WithCancel": func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			return waited(ctx)
		},
		"WithTimeout": func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			return polled(ctx)
		},
		"AfterFunc": func(ctx context.Context) error {
			ended := make(chan struct{})
			defer context.AfterFunc(ctx, func() { close(ended) })()
			<-ended
			return ctx.Err()
		},
	} {
		for _, tt := range []struct {
			name  string
			limit time.Duration // of the parent's own
			leave time.Duration // when the client leaves
			after time.Duration
			want  error
		}{
			{"deadline", time.Hour, time.Hour, limit, context.DeadlineExceeded},
			{"earlier deadline", limit / 2, time.Hour, limit / 2, context.DeadlineExceeded},
			{"client leaves", time.Hour, limit / 5, limit / 5, context.Canceled},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var w waiters
					for range 3 { // a store that has waited is taken for one that waits
						client, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
						parent, cancel := context.WithTimeout(client, tt.limit)
						time.AfterFunc(tt.leave, leave)
						began := time.Now()
						var done func() <-chan struct{}
						w.until(parent, began.Add(limit), func(ctx context.Context) {
							done = ctx.Done
							if v := ctx.Value(key{}); v != "v" {
								t.Errorf("Value() = %v; want the parent's", v)
							}
							if at, ok := ctx.Deadline(); !ok || at.Sub(began) != min(limit, tt.limit) {
								t.Errorf("Deadline() is after %v, %v; want %v", at.Sub(began), ok, min(limit, tt.limit))
							}
							if err := end(ctx); !errors.Is(err, tt.want) {
								t.Errorf("ended by %v; want %v", err, tt.want)
							}
							if after := time.Since(began); after < tt.after || after > tt.after+poll {
								t.Errorf("ended after %v; want %v", after, tt.after)
							}
						})
						<-done()
						leave()
						cancel()
					}
				})
			})
		}
	}
}

// TestLimitedReleased: what is used after its time has ended, and nothing is left of it.
func TestLimitedReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which ends when no goroutine is left
		var w waiters
		for range 3 {
			var done func() <-chan struct{}
			var cause func() error
			w.until(t.Context(), time.Now().Add(time.Hour), func(ctx context.Context) { done, cause = ctx.Done, ctx.Err })
			if err := cause(); !errors.Is(err, context.Canceled) {
				t.Errorf("Err() = %v; want %v", err, context.Canceled)
			}
			<-done()
			<-done()
			if err := cause(); !errors.Is(err, context.Canceled) {
				t.Errorf("Err() after Done() = %v; want %v", err, context.Canceled)
			}
		}
	})
}

// TestLimitedEndsWithItsUse: what was begun under the context does not outlive the operations.
func TestLimitedEndsWithItsUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w waiters
		for range 2 { // the second time the store is taken for one that waits
			var done <-chan struct{}
			w.until(t.Context(), time.Now().Add(time.Hour), func(ctx context.Context) { done = ctx.Done() })
			select {
			case <-done:
			default:
				t.Error("the context lives on")
			}
		}
	})
}

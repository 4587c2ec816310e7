package reprise_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/subject"
	"github.com/reprise-go/reprise/store"
)

// numbered is a shared store whose readings of marks can be changed on the way.
type numbered struct {
	*subject.Shared
	marked, marks func(*store.Marks) error // of GetMarked and of Marks; nil: no change
}

func change(m store.Marks, by func(*store.Marks) error) (store.Marks, error) {
	if by == nil {
		return m, nil
	}
	if err := by(&m); err != nil {
		return store.Marks{}, err
	}
	return m, nil
}

func (s *numbered) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, err := s.Shared.Marks(ctx, names...)
	if err != nil {
		return m, err
	}
	return change(m, s.marks)
}

func (s *numbered) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := s.Shared.GetMarked(ctx, key, names...)
	m, failed := change(m, s.marked)
	if failed != nil {
		return nil, m, failed
	}
	return b, m, err
}

// What is stored in a store outside the process is served only with marks that prove that nothing was invalidated.
func TestMarksProve(t *testing.T) {
	restarted := func(m *store.Marks) error { m.Incarnation++; return nil }
	behind := func(m *store.Marks) error { m.Newest = 0; return nil }
	gone := func(m *store.Marks) error { *m = store.Marks{Slots: m.Slots}; return nil }
	fail := func(*store.Marks) error { return errDown }
	for _, tt := range []struct {
		name  string
		fill  func(s *numbered) // before the entry is made
		ask   func(s *numbered) // before it is asked for
		raise bool              // something else is invalidated in between
		hit   bool
	}{
		{"nothing happened", nil, nil, false, true},
		{"something else was invalidated", nil, nil, true, true},
		{"another incarnation", nil, func(s *numbered) { s.marked, s.marks = restarted, restarted }, false, false},
		{"a number that is behind", nil, func(s *numbered) { s.marked = behind }, false, false},
		{"no marks", nil, func(s *numbered) { s.marked = gone }, false, false},
		{"marks of tags that cannot be read", nil, func(s *numbered) { s.marks = fail }, true, false},
		{"marks of tags of another incarnation", nil, func(s *numbered) { s.marks = restarted }, true, false},
		{"stored while marks could not be read", func(s *numbered) { s.marks = fail }, nil, false, false},
		{"stored after a restart", func(s *numbered) { s.marks = restarted }, nil, false, false},
		{"stored without marks", func(s *numbered) { s.marked = gone }, nil, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &numbered{Shared: subject.NewShared()}
				c := open(t, reprise.Config{Store: s, Logger: slog.New(slog.DiscardHandler)})
				h := c.WrapFunc(func(http.ResponseWriter, *http.Request) {}, reprise.TTL(time.Hour), reprise.Tags("tag"))
				invalidate := func() {
					if err := c.InvalidateTags(t.Context(), "another"); err != nil {
						t.Fatal(err)
					}
				}
				invalidate()
				if tt.fill != nil {
					tt.fill(s)
				}
				get(h, "/")
				synctest.Wait() // it is stored
				s.marked, s.marks = nil, nil
				if tt.raise {
					invalidate()
				}
				if tt.ask != nil {
					tt.ask(s)
				}
				if mark := get(h, "/").Header().Get("X-Cache"); mark == "HIT" != tt.hit {
					t.Errorf("X-Cache %q; want a HIT: %v", mark, tt.hit)
				}
			})
		})
	}
}

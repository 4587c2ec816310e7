package e2e

import (
	"testing"

	"github.com/reprise-go/reprise/internal/subject"
	"github.com/reprise-go/reprise/store"
)

const scenarios = "../testdata/scenarios/*.txt"

// TestScenarios has the conversations of testdata/scenarios on every store. The records carry the fake time of the
// scenario, which stores do not look at; what the servers are told is how long to keep them, in their own time.
func TestScenarios(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		own := func(*testing.T) func() (store.Store, error) {
			return func() (store.Store, error) { return nil, nil }
		}
		subject.Run(t, scenarios, own, "memory", "exact")
	})
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			open := func(t *testing.T) func() (store.Store, error) {
				p, o := newPlace(t, kind), newOutside(t)
				return func() (store.Store, error) { return o.open(p) }
			}
			abilities := []string{"shared", "lasting"}
			if kind != "memcached" { // there a mark that was never read counts as newer than what is under way
				abilities = append(abilities, "exact")
			}
			subject.Run(t, scenarios, open, abilities...)
		})
	}
}

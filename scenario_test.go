package reprise_test

import (
	"testing"

	"github.com/reprise-go/reprise/internal/subject"
	"github.com/reprise-go/reprise/store"
)

// TestScenarios runs the conversations in testdata/scenarios in memory; the stores' own tests run them elsewhere.
func TestScenarios(t *testing.T) {
	open := func(*testing.T) func() (store.Store, error) {
		return func() (store.Store, error) { return nil, nil } // the cache's own
	}
	subject.Run(t, "testdata/scenarios/*.txt", open, "memory", "exact", "faulty")
}

// TestScenariosShared runs them on a store that several processes share and that keeps bytes alone, as a server does.
func TestScenariosShared(t *testing.T) {
	open := func(*testing.T) func() (store.Store, error) {
		shared := subject.NewShared()
		return func() (store.Store, error) { return shared, nil }
	}
	subject.Run(t, "testdata/scenarios/*.txt", open, "shared", "lasting", "exact", "faulty")
}

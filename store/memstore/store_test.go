package memstore_test

import (
	"testing"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Open:   func(t *testing.T) store.Store { return open(t, 0) },
		Bubble: true,
	})
}

package filestore_test

import (
	"testing"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
	"github.com/reprise-go/reprise/store/storetest"
)

func open(t *testing.T, dir string, cfg filestore.Config) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	dirs := make(map[store.Store]string)
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T) store.Store {
			dir := t.TempDir()
			s := open(t, dir, filestore.Config{})
			dirs[s] = dir
			return s
		},
		Reopen: func(t *testing.T, s store.Store) store.Store { return open(t, dirs[s], filestore.Config{}) },
		Bubble: true,
	})
}

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
	"github.com/reprise-go/reprise/store/memstore"
)

// TestCapabilityTable compares the table of docs/stores/README.md with what the stores implement.
func TestCapabilityTable(t *testing.T) {
	page, err := os.ReadFile("../docs/stores/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| interface |")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("docs/stores/README.md has no table of interfaces")
	}
	claims := make(map[string][]string)
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		claims[cells[0]] = cells[min(2, len(cells)):]
	}

	memory, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = memory.Close() })
	stores := []store.Store{memory}
	for _, kind := range []string{"files", "redis", "memcached", "dynamodb", "tier"} {
		s, closeAll, err := newPlace(t, kind).open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = closeAll() })
		stores = append(stores, s)
	}
	var scanning store.Store = (*dynamostore.Scanning)(nil)
	for name, has := range capabilities {
		cells := claims[name]
		if len(cells) != len(stores) {
			t.Errorf("%s has %d cells; want one for each of %d stores", name, len(cells), len(stores))
			continue
		}
		for i, s := range stores {
			want := "–"
			switch _, dynamo := s.(*dynamostore.Store); {
			case has(s) && i == len(stores)-1:
				want = "as far"
				if name == "MultiGetter" || name == "Layered" {
					want = "yes"
				}
			case has(s):
				want = "yes"
			case dynamo && has(scanning):
				want = "`Scanning`"
			}
			if cells[i] != want {
				t.Errorf("%s, column %d (%T): %q; want %q", name, i+1, s, cells[i], want)
			}
		}
		delete(claims, name)
	}
	for name := range claims {
		if len(claims[name]) == len(stores) && !strings.HasPrefix(name, "what") && !strings.HasPrefix(name, "---") {
			t.Errorf("no capability is named %q", name)
		}
	}
}

var capabilities = map[string]func(store.Store) bool{
	"Local":       implements[store.Local],
	"MultiGetter": implements[store.MultiGetter],
	"Sequencer":   implements[store.Sequencer],
	"Locker":      implements[store.Locker],
	"Lister":      implements[store.Lister],
	"Clearer":     implements[store.Clearer],
	"Notifier":    implements[store.Notifier],
	"Partitioned": implements[store.Partitioned],
	"Layered":     implements[store.Layered],
	"Sizer":       implements[store.Sizer],
}

func implements[T any](s store.Store) bool {
	_, ok := s.(T)
	return ok
}

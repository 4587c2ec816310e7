package history_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/reprise-go/reprise/e2e/history"
)

// filled is one of object 1 that the names "key" and "tag" drop.
func filled(begin int64, version uint64) history.Fill {
	return history.Fill{Object: 1, Version: version, Begin: begin, Names: []string{"key", "tag"}}
}

func read(sent int64, answer ...history.Fill) history.Read {
	return history.Read{Object: 1, Sent: sent, Returned: sent + 10, Answer: answer}
}

func drop(name string, sent, returned int64, version uint64) history.Invalidation {
	return history.Invalidation{Name: name, Object: 1, Version: version, Sent: sent, Returned: returned, Acknowledged: true}
}

func TestCheck(t *testing.T) {
	failed := drop("key", 200, 210, 2)
	failed.Acknowledged = false
	elsewhere := drop("key", 200, 210, 9)
	elsewhere.Object = 2
	foreign := read(300, filled(250, 2))
	foreign.Object = 7
	part := filled(100, 1)
	part.Names = []string{"tag"}

	const early, old = history.Early, history.Old
	for _, tt := range []struct {
		name string
		read history.Read
		inv  []history.Invalidation
		want []history.Rule
	}{
		{"nothing was invalidated", read(300, filled(100, 1)), nil, nil},
		{"a fill after the invalidation", read(300, filled(220, 2)), []history.Invalidation{drop("key", 200, 210, 2)}, nil},
		{"a fill before it", read(300, filled(100, 1)), []history.Invalidation{drop("key", 200, 210, 2)}, []history.Rule{early, old}},
		{"by another of its names", read(300, filled(100, 1)), []history.Invalidation{drop("tag", 200, 210, 2)}, []history.Rule{early, old}},
		{"by a name that it does not have", read(300, filled(100, 1)), []history.Invalidation{drop("url", 200, 210, 2)}, nil},
		{"a fill before it that read after the mutation", read(300, filled(100, 2)), []history.Invalidation{drop("key", 200, 210, 2)}, []history.Rule{early}},
		{"a fill during it", read(300, filled(205, 2)), []history.Invalidation{drop("key", 200, 210, 2)}, nil},
		{"a fill during it that says an older version", read(300, filled(205, 1)), []history.Invalidation{drop("key", 200, 210, 2)}, []history.Rule{old}},
		{"a read during it", read(205, filled(100, 1)), []history.Invalidation{drop("key", 200, 210, 2)}, nil},
		{"a read at the moment it returns", read(210, filled(100, 1)), []history.Invalidation{drop("key", 200, 210, 2)}, nil},
		{"a read after that", read(211, filled(100, 1)), []history.Invalidation{drop("key", 200, 210, 2)}, []history.Rule{early, old}},
		{"an invalidation that failed", read(300, filled(100, 1)), []history.Invalidation{failed}, nil},
		{
			"a long one, behind a short one that returned earlier",
			read(300, filled(150, 2)),
			[]history.Invalidation{drop("key", 100, 290, 2), drop("key", 200, 210, 3)},
			[]history.Rule{early, old},
		},
		{
			"the newest has not returned",
			read(300, filled(150, 1)),
			[]history.Invalidation{drop("key", 100, 140, 1), drop("key", 200, 310, 2)},
			nil,
		},
		{"the mutation of another object", read(300, filled(250, 1)), []history.Invalidation{elsewhere}, nil},
		{"a part that is older than the whole", read(300, filled(250, 2), part), []history.Invalidation{drop("tag", 200, 210, 2)}, []history.Rule{early, old}},
		{"a part whose key is no name of the whole", read(300, filled(250, 2), part), []history.Invalidation{drop("key", 200, 210, 2)}, nil},
		{"an answer about something else", foreign, nil, []history.Rule{history.Foreign}},
		{"a fill after the answer", read(300, filled(400, 1)), nil, []history.Rule{history.Future}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := history.History{Reads: []history.Read{tt.read}, Invalidations: tt.inv}
			var got []history.Rule
			for _, v := range h.Check() {
				got = append(got, v.Rule)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Check() = %v; want %v", got, tt.want)
			}
		})
	}
}

// TestCheckAgainstDefinition compares Check with the definition of its rules, tried on all pairs of random histories.
func TestCheckAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c"}
	violations := 0
	for range 2000 {
		var h history.History
		for range rng.IntN(6) {
			sent := rng.Int64N(40)
			h.Invalidations = append(h.Invalidations, history.Invalidation{
				Name: names[rng.IntN(3)], Object: rng.Int32N(2), Version: rng.Uint64N(4),
				Sent: sent, Returned: sent + rng.Int64N(20), Acknowledged: rng.IntN(4) > 0,
			})
		}
		for range 1 + rng.IntN(4) {
			sent := rng.Int64N(60)
			f := history.Fill{Begin: rng.Int64N(sent + 1), Version: rng.Uint64N(4), Object: rng.Int32N(2), Names: names[rng.IntN(3):]}
			h.Reads = append(h.Reads, history.Read{Object: f.Object, Sent: sent, Returned: sent + 5, Answer: []history.Fill{f}})
		}
		var want []history.Rule
		for _, r := range h.Reads {
			early, old := false, false
			for _, f := range r.Answer {
				for _, i := range h.Invalidations {
					if i.Acknowledged && i.Returned < r.Sent && slices.Contains(f.Names, i.Name) {
						early = early || i.Sent > f.Begin
						old = old || i.Object == f.Object && i.Version > f.Version
					}
				}
			}
			if early {
				want = append(want, history.Early)
			}
			if old {
				want = append(want, history.Old)
			}
		}
		var got []history.Rule
		for _, v := range h.Check() {
			got = append(got, v.Rule)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("Check() = %v; want %v\n%+v", got, want, h)
		}
		violations += len(want)
	}
	if violations == 0 {
		t.Error("no history had a violation")
	}
}

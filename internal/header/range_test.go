package header_test

import (
	"testing"

	"github.com/reprise-go/reprise/internal/header"
)

func TestParseRange(t *testing.T) {
	for _, tt := range []struct {
		line string
		want header.Range
		ok   bool
	}{
		{"bytes=0-4", header.Range{First: 0, Last: 4}, true},
		{"bytes=5-", header.Range{First: 5, Last: -1}, true},
		{"bytes=-5", header.Range{First: -1, Last: 5}, true},
		{"Bytes=7-7", header.Range{First: 7, Last: 7}, true},
		{"bytes= 0-4 ", header.Range{First: 0, Last: 4}, true},
		{"bytes=-", header.Range{}, false},
		{"bytes=-0", header.Range{}, false},
		{"bytes=4-0", header.Range{}, false},
		{"bytes=0-4,6-7", header.Range{}, false},
		{"bytes=+1-4", header.Range{}, false},
		{"bytes=1--4", header.Range{}, false},
		{"bytes=0 - 4", header.Range{}, false},
		{"bytes=99999999999999999999-", header.Range{}, false},
		{"items=0-4", header.Range{}, false},
		{"bytes", header.Range{}, false},
		{"", header.Range{}, false},
	} {
		got, ok := header.ParseRange([]string{tt.line})
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("ParseRange(%q) = %v, %v; want %v, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
	if _, ok := header.ParseRange([]string{"bytes=0-4", "bytes=6-7"}); ok {
		t.Error("ParseRange of two lines = true; want false")
	}
}

func TestParseContentRange(t *testing.T) {
	for _, tt := range []struct {
		line string
		want header.ContentRange
		ok   bool
	}{
		{"bytes 0-4/10", header.ContentRange{First: 0, Last: 4, Length: 10}, true},
		{"bytes 9-9/10", header.ContentRange{First: 9, Last: 9, Length: 10}, true},
		{"bytes 0-4/*", header.ContentRange{First: 0, Last: 4, Length: -1}, true},
		{"bytes 0-10/10", header.ContentRange{}, false},
		{"bytes 4-3/10", header.ContentRange{}, false},
		{"bytes */10", header.ContentRange{}, false},
		{"bytes=0-4/10", header.ContentRange{}, false},
		{"bytes 0-4", header.ContentRange{}, false},
		{"bytes -4/10", header.ContentRange{}, false},
		{"bytes 0-/10", header.ContentRange{}, false},
		{"bytes 0-4/", header.ContentRange{}, false},
		{"bytes 0-4/+10", header.ContentRange{}, false},
		{"bytes  0-4/10", header.ContentRange{}, false},
		{"lines 0-4/10", header.ContentRange{}, false},
		{"", header.ContentRange{}, false},
	} {
		got, ok := header.ParseContentRange([]string{tt.line})
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("ParseContentRange(%q) = %v, %v; want %v, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

// What is read and written again reads the same, and holds what callers rely on.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-4", "bytes=-5", "bytes=5-", "bytes 0-4/10", "bytes 0-4/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := header.ParseRange([]string{s}); ok {
			if again, ok := header.ParseRange([]string{r.String()}); !ok || again != r {
				t.Errorf("ParseRange(%q) = %v, %v; want %v", r.String(), again, ok, r)
			}
		}
		if r, ok := header.ParseContentRange([]string{s}); ok {
			if r.First < 0 || r.First > r.Last || r.Length >= 0 && r.Last >= r.Length {
				t.Errorf("ParseContentRange(%q) = %+v", s, r)
			}
			if again, ok := header.ParseContentRange([]string{r.String()}); !ok || again != r {
				t.Errorf("ParseContentRange(%q) = %v, %v; want %v", r.String(), again, ok, r)
			}
		}
	})
}

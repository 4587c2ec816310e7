package header

import (
	"strings"
	"testing"
)

func TestMatchETag(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lines  string
		etag   string
		weak   bool // result of the weak comparison
		strong bool // of the strong one
	}{
		{"RFC9110/8.8.3.2/strong", `"1"`, `"1"`, true, true},
		{"RFC9110/8.8.3.2/weak_both", `W/"1"`, `W/"1"`, true, false},
		{"RFC9110/8.8.3.2/weak_one", `W/"1"`, `"1"`, true, false},
		{"RFC9110/8.8.3.2/weak_other", `"1"`, `W/"1"`, true, false},
		{"RFC9110/8.8.3.2/different", `"1"`, `"2"`, false, false},
		{"RFC9110/13.1.2/first", `"1", "2", "3"`, `"1"`, true, true},
		{"RFC9110/13.1.2/middle", `"2", "1", "3"`, `"1"`, true, true},
		{"RFC9110/13.1.2/last", `"2", W/"3" ,	"1"`, `"1"`, true, true},
		{"RFC9110/13.1.2/lines", "\"2\"\n\"1\"", `"1"`, true, true},
		{"RFC9110/13.1.2/no_blanks", `"2","1"`, `"1"`, true, true},
		{"RFC9110/13.1.2/empties", `,, "1",`, `"1"`, true, true},
		{"RFC9110/13.1.2/star", " * ", `"1"`, true, true},
		{"RFC9110/13.1.2/star_without_tag", "*", "", true, true},
		{"RFC9110/13.1.2/star_is_no_element", `"2", *`, `"1"`, false, false},
		{"RFC9110/13.1.2/quoted_star", `"*"`, `"1"`, false, false},
		{"RFC9110/8.8.3/comma", `"2, 1", "a,b"`, `"a,b"`, true, true},
		{"RFC9110/8.8.3/inside_another", `"2,"1","`, `"1"`, false, false},
		{"RFC9110/8.8.3/backslash", `"a\", "1"`, `"1"`, true, true},
		{"RFC9110/8.8.3/obs-text", "\"abcdef\xfc\"", "\"abcdef\xfc\"", true, true},
		{"RFC9110/8.8.3/empty_tag", `""`, `""`, true, true},
		{"RFC9110/8.8.3/unquoted", "1", `"1"`, false, false},
		{"RFC9110/8.8.3/unquoted_both", "1", "1", false, false},
		{"RFC9110/8.8.3/unquoted_stored", `"1"`, "1", false, false},
		{"RFC9110/8.8.3/unquoted_before", `2, "1"`, `"1"`, true, true},
		{"RFC9110/8.8.3/lower_case_w", `w/"1"`, `w/"1"`, false, false},
		{"RFC9110/8.8.3/no_slash", `W"1"`, `W"1"`, false, false},
		{"RFC9110/8.8.3/backslash_for_slash", `W\"1"`, `W\"1"`, false, false},
		{"RFC9110/8.8.3/tail", `"1"x, "1" "1"`, `"1"`, false, false},
		{"RFC9110/8.8.3/open", `"1`, `"1`, false, false},
		{"RFC9110/8.8.3/blank_inside", `"a b"`, `"a b"`, false, false},
		{"no_tag", `"1"`, "", false, false},
		{"empty_field", "", `"1"`, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := strings.Split(tt.lines, "\n")
			if got := MatchETag(lines, tt.etag, false); got != tt.weak {
				t.Errorf("MatchETag(%q, %q, weak) = %v; want %v", lines, tt.etag, got, tt.weak)
			}
			if got := MatchETag(lines, tt.etag, true); got != tt.strong {
				t.Errorf("MatchETag(%q, %q, strong) = %v; want %v", lines, tt.etag, got, tt.strong)
			}
			if n := testing.AllocsPerRun(10, func() { MatchETag(lines, tt.etag, false) }); n != 0 {
				t.Errorf("MatchETag(%q, %q) allocates %v times; want 0", lines, tt.etag, n)
			}
		})
	}
}

func TestValidETag(t *testing.T) {
	for s, want := range map[string]bool{
		`"a"`: true, `W/"a"`: true, `""`: true, `"a,b\"`: true, "\"\xfc\"": true,
		"": false, "a": false, `"`: false, `W/`: false, `w/"a"`: false, `"a"b"`: false, `"a" `: false, "\"\x7f\"": false, `*`: false,
	} {
		if got := ValidETag(s); got != want {
			t.Errorf("ValidETag(%q) = %v; want %v", s, got, want)
		}
	}
	if !IsWeak(`W/"a"`) || IsWeak(`"a"`) {
		t.Error("IsWeak does not tell weak entity tags from strong ones")
	}
}

// An entity tag is found wherever it stands in a list of others, and the strong comparison finds no more than the
// weak one.
func FuzzMatchETag(f *testing.F) {
	f.Add(`"1", W/"2"`, `"1"`)
	f.Add(`"a\", x`, `W/"a,b"`)
	f.Fuzz(func(t *testing.T, field, etag string) {
		lines := strings.Split(field, "\n")
		if MatchETag(lines, etag, true) && !MatchETag(lines, etag, false) {
			t.Errorf("MatchETag(%q, %q) is true only if strong", lines, etag)
		}
		if !ValidETag(etag) {
			return
		}
		if line := []string{`"x", W/"", ` + etag + ", y"}; !MatchETag(line, etag, false) {
			t.Errorf("MatchETag(%q, %q) = false", line, etag)
		}
		if !MatchETag(append(lines, etag), etag, false) {
			t.Errorf("MatchETag(%q and %q) = false", lines, etag)
		}
	})
}

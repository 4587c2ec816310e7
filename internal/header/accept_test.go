package header

import (
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	const encoding, language = "Accept-Encoding", "Accept-Language"
	for _, tt := range []struct {
		name  string
		field string
		lines string // "-" is an absent field
		want  string
	}{
		{"4.1/absent", "Foo", "-", ""},
		{"4.1/empty_is_not_absent", "Foo", "", ","},
		{"4.1/as_it_is", "Foo", "a  b", "a  b"},
		{"4.1/blanks", "Foo", " 1, 2 ", "1,2"},
		{"4.1/blanks_gone", "Foo", "1,2", "1,2"},
		{"4.1/lines", "Foo", "1\n2", "1,2"},
		{"4.1/case_stays", "Foo", "A", "A"},
		{"4.1/empties_stay", "Foo", "a,, b", "a,,b"},
		{"4.1/quoted", "Foo", `"1, 2" , 3`, `"1, 2",3`},

		{"encoding/absent", encoding, "-", ""},
		{"encoding/empty", encoding, "", "identity"},
		{"encoding/browser", encoding, "gzip, deflate, br, zstd", "br,deflate,gzip,zstd"},
		{"encoding/two", encoding, "gzip, br", "br,gzip"},
		{"encoding/old_browser", encoding, "gzip,deflate", "deflate,gzip"},
		{"encoding/three", encoding, "gzip, deflate, br", "br,deflate,gzip"},
		{"encoding/order", encoding, "zstd;q=0.1,br , deflate\ngzip", "br,deflate,gzip,zstd"},
		{"encoding/case", encoding, "GZip;Q=1.000", "gzip"},
		{"encoding/identity", encoding, "identity, gzip", "gzip"},
		{"encoding/identity_only", encoding, "identity;q=0.5", "identity"},
		{"encoding/refused", encoding, "gzip, br;q=0", "br;q=0,gzip"},
		{"encoding/refused_thousandths", encoding, "gzip, br;q=0.000", "br;q=0,gzip"},
		{"encoding/identity_refused", encoding, "gzip, identity;q=0", "gzip,identity;q=0"},
		{"encoding/star", encoding, "*", "*"},
		{"encoding/star_refused", encoding, "gzip, identity, *;q=0", "*;q=0,gzip,identity"},
		{"encoding/alias", encoding, "x-gzip, X-Compress", "compress,gzip"},
		{"encoding/first_counts", encoding, "gzip;q=0, gzip", "gzip;q=0"},
		{"encoding/unknown", encoding, "foo, gzip, sdch;q=0.3", "gzip"},
		{"encoding/unknown_only", encoding, "foo", "identity"},
		{"encoding/dictionaries", encoding, "gzip, dcz, dcb", "dcb,dcz,gzip"},
		{"encoding/malformed_stays", encoding, "gzip;q=x , br", "gzip;q=x,br"},
		{"encoding/weight_above_1", encoding, "gzip;q=1.5", "gzip;q=1.5"},
		{"encoding/lookalike_stays", encoding, "notgzip", "notgzip"},

		{"language/absent", language, "-", ""},
		{"language/empty", language, "", ","},
		{"language/one", language, "de", "de"},
		{"language/order", language, "en, de", "de,en"},
		{"language/case", language, "eN, De", "de,en"},
		{"language/blanks", language, " en ,   de", "de,en"},
		{"language/lines", language, "en\nde", "de,en"},
		{"language/weights", language, "fr;q=0.5, de;q=1.0, en ; q=0.800, *;q=0", "de,en;q=0.8,fr;q=0.5,*;q=0"},
		{"language/thousandths", language, "fr;q=0.505, de;q=0.050", "fr;q=0.505,de;q=0.05"},
		{"language/same_weight", language, "en-US,en;q=0.9,de;q=0.9", "en-us,de;q=0.9,en;q=0.9"},
		{"language/first_counts", language, "de;q=0.5, DE", "de;q=0.5"},
		{"language/malformed_stays", language, "de;q=2, EN", "de;q=2,EN"},
		{"language/parameter_stays", language, "de;x=1, EN", "de;x=1,EN"},
		{"language/no_digit_stays", language, "de;q=0.x, EN", "de;q=0.x,EN"},
		{"language/many_stay", language, "q,p,o,n,m,l,k,j,i,h,g,f,e,d,c,b,a", "q,p,o,n,m,l,k,j,i,h,g,f,e,d,c,b,a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			if tt.lines != "-" {
				lines = strings.Split(tt.lines, "\n")
			}
			if got := Normalize(tt.field, lines); got != tt.want {
				t.Errorf("Normalize(%q, %q) = %q; want %q", tt.field, lines, got, tt.want)
			}
			if got := AppendNormal([]byte("x"), tt.field, lines); string(got) != "x"+tt.want {
				t.Errorf("AppendNormal(x, %q, %q) = %q; want x%q", tt.field, lines, got, tt.want)
			}
		})
	}
}

func TestNormalizeAllocs(t *testing.T) {
	for _, tt := range []struct{ name, line string }{
		{"Accept-Encoding", "gzip, deflate, br, zstd"},
		{"Accept-Encoding", "gzip, deflate, br"},
		{"Accept-Encoding", "gzip"},
		{"Accept-Language", "de"},
		{"Origin", "https://shop.test"},
	} {
		lines := []string{tt.line}
		if n := testing.AllocsPerRun(100, func() { Normalize(tt.name, lines) }); n != 0 {
			t.Errorf("Normalize(%q, %q) allocates %v times; want 0", tt.name, lines, n)
		}
	}
	buf := make([]byte, 0, 256)
	for _, tt := range []struct{ name, line string }{
		{"Accept-Encoding", "gzip;q=0.5, br;q=0, identity"},
		{"Accept-Language", "en-US,en;q=0.9,de;q=0.8,*;q=0.1"},
		{"Foo", "a , b"},
	} {
		lines := []string{tt.line}
		if n := testing.AllocsPerRun(100, func() { buf = AppendNormal(buf[:0], tt.name, lines) }); n != 0 {
			t.Errorf("AppendNormal(%q, %q) allocates %v times; want 0", tt.name, lines, n)
		}
	}
}

// A normal form is its own normal form, is empty only for an absent field and not longer than what came in.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5, *;q=0", "en-US,en;q=0.9, de;q=0.050", "a,, b", `"1, 2" ,3`, "x-gzip, identity", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Split(s, "\n")
		for _, name := range []string{"Accept-Encoding", "Accept-Language", "Foo"} {
			got := Normalize(name, lines)
			if again := Normalize(name, []string{got}); again != got {
				t.Errorf("Normalize(%q, %q) = %q, and of that %q", name, lines, got, again)
			}
			if appended := string(AppendNormal(nil, name, lines)); appended != got {
				t.Errorf("AppendNormal(%q, %q) = %q; want %q", name, lines, appended, got)
			}
			if got == "" || len(got) > max(len(s), len("identity")) {
				t.Errorf("Normalize(%q, %q) = %q", name, lines, got)
			}
		}
	})
}

func TestFirstLanguage(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"de":                   "de",
		"fr;q=0.5, de;q=1.0":   "de",
		"fr;q=0.5, de-AT;q=.9": "",
		"en, de":               "",
		"*, de;q=0.5":          "",
		"de;q=0":               "",
		"en;q=0.3, De;q=0.4":   "De",
	} {
		if got := FirstLanguage([]string{in}); got != want {
			t.Errorf("FirstLanguage(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestKnownCoding(t *testing.T) {
	for name, want := range map[string]bool{"br": true, "GZIP": true, "x-gzip": true, "identity": true, "foo": false, "": false} {
		if got := KnownCoding(name); got != want {
			t.Errorf("KnownCoding(%q) = %v; want %v", name, got, want)
		}
	}
}

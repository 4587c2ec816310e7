package header

import "net/http"

// First returns the first line of a field, "" if there is none. Unlike [http.Header.Get] it takes name, which is canonical, as it
// is: a miss asks for many.
func First(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return lines[0]
	}
	return ""
}

// Canonical reports whether [http.CanonicalHeaderKey] leaves name as it is, at a fraction of its cost for nearly all names.
func Canonical(name string) bool {
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z' {
			return http.CanonicalHeaderKey(name) == name // what is no token stays as it is
		}
		upper = c == '-'
	}
	return true
}

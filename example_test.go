package reprise_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
)

// show sends a request to h and prints the status, X-Cache and body of the answer, "-" where there is no X-Cache. Fields are "Name: value".
func show(h http.Handler, method, target string, fields ...string) {
	r := httptest.NewRequest(method, target, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Printf("%s %s %s\n", http.StatusText(w.Code), cmp.Or(w.Header().Get("X-Cache"), "-"), strings.TrimSpace(w.Body.String()))
}

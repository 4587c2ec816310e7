package proxy

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzScanner: it says the same of a stream however that is cut, and in what it lets pass it misses no request that net/http
// finds.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
		"GET /" + strings.Repeat("x", 300) + " HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		var whole, pieces scanner
		bad := whole.feed([]byte(stream))
		cut := -1
		for i := range len(stream) {
			if pieces.feed([]byte{stream[i]}) >= 0 {
				cut = i
				break
			}
		}
		if bad != cut {
			t.Fatalf("feed(%q) = %d at once, %d byte by byte", stream, bad, cut)
		}
		if bad >= 0 {
			return
		}
		heads := 0
		s := &scanner{}
		br := bufio.NewReader(strings.NewReader(stream))
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				break
			}
			heads++
			if _, err := io.Copy(io.Discard, r.Body); err != nil && !errors.Is(err, io.EOF) {
				return
			}
		}
		if seen := s.heads(stream); seen < heads {
			t.Fatalf("the scanner saw %d heads in %q; net/http %d", seen, stream, heads)
		}
	})
}

// heads counts the heads that end in stream.
func (s *scanner) heads(stream string) (n int) {
	for i := range len(stream) {
		before := s.state == scanHead && s.first
		if s.feed([]byte{stream[i]}) >= 0 {
			return n
		}
		if before && (s.state != scanHead || !s.first) {
			n++
		}
	}
	return n
}

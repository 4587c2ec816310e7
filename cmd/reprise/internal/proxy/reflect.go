package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
)

// What is looked for in a response. A shorter value is found by chance; of a longer one the beginning says enough.
const (
	minNeedle  = 8
	maxNeedle  = 128
	maxNeedles = 64
)

// needle is a value that a client sent in a field which is not in the key.
type needle struct{ field, value string }

// reflections watches for responses that repeat such values.
type reflections struct {
	mode   Reflection
	log    *slog.Logger
	logged seldom
}

// watch looks at a response that may be stored, and goes on looking as its body is read. keyed are the fields that the
// route puts into the key.
func (rf *reflections) watch(res *http.Response, keyed []string) {
	r := res.Request
	if rf.mode == ReflectionOff || r.Method != http.MethodGet && r.Method != "QUERY" {
		return
	}
	resp := rfc9111.Parse(res.StatusCode, res.Header, nil)
	if resp.CC.NoStore || resp.CC.Private || resp.VaryStar || res.StatusCode < 200 {
		return
	}
	needles := needlesOf(r, slices.Concat(resp.Vary, keyed))
	if len(needles) == 0 {
		return
	}
	found := func(field string) {
		if rf.mode == ReflectionRefuse {
			reprise.NoStore(r.Context())
		}
		rf.tell(r.Context(), field, r.URL.Path)
	}
	for field, lines := range res.Header {
		if steers(field) {
			continue
		}
		for _, line := range lines {
			for _, n := range needles {
				if strings.Contains(line, n.value) {
					found(n.field)
					return
				}
			}
		}
	}
	if res.Body != nil && res.Body != http.NoBody {
		res.Body = &watchedBody{ReadCloser: res.Body, needles: needles, found: found}
	}
}

// tell names the field in the log.
func (rf *reflections) tell(ctx context.Context, field, path string) {
	n, ok := rf.logged.now()
	if !ok {
		return
	}
	text := "proxy: the response repeats a request field that is not in its key; it is not stored"
	if rf.mode == ReflectionObserve {
		text = "proxy: the response repeats a request field that is not in its key; anybody who sends it chooses what others get"
	}
	rf.log.WarnContext(ctx, text, "field", short(field), "path", short(path), "total", n,
		"remedy", "let the application name the field in Vary, or not read it")
}

// short bounds what a client can put into a log line.
func short(s string) string { return s[:min(len(s), 200)] }

// needlesOf returns the values of the fields of r that the origin was shown and that are not in the key.
func needlesOf(r *http.Request, keyed []string) []needle {
	var needles []needle
	add := func(field, value string) {
		if len(value) >= minNeedle && len(needles) < maxNeedles {
			needles = append(needles, needle{field, value[:min(len(value), maxNeedle)]})
		}
	}
	for field, lines := range r.Header {
		switch field {
		case "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range", "Via", "X-Forwarded-Host", "X-Forwarded-Proto":
			continue // the proxy's own, or in the key
		}
		if slices.Contains(keyed, field) {
			continue
		}
		for _, line := range lines {
			switch field {
			case "Cookie":
				for pair := range strings.SplitSeq(line, ";") {
					_, value, _ := strings.Cut(pair, "=")
					add(field, strings.TrimSpace(value))
				}
			case "Referer", "Origin":
				// A page of the site names other pages of the site: that is nothing that the client brought in.
				if u, err := url.Parse(line); err != nil || !strings.EqualFold(u.Host, r.Header.Get("X-Forwarded-Host")) {
					add(field, line)
				}
			case "X-Forwarded-For":
				for ip := range header.List([]string{line}) {
					add(field, ip)
				}
			default:
				if !negotiates(field) || !plain(line) {
					add(field, line)
				}
			}
		}
	}
	return needles
}

// steers reports whether a field of responses is for caches: its words are the same everywhere, and no browser shows them.
func steers(field string) bool {
	return field == "Vary" || field == "Via" || field == "Cache-Control" || strings.HasSuffix(field, "-Cache-Control")
}

// negotiates reports whether the values of a field are taken from lists that applications have of their own, so that one
// found in a response says nothing, as long as it is plain.
func negotiates(field string) bool {
	switch field {
	case "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Cache-Control", "Content-Type", "Pragma", "Priority", "Te", "Upgrade-Insecure-Requests":
		return true
	}
	return strings.HasPrefix(field, "Sec-")
}

// plain reports whether s has nothing that a negotiated value has not.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/*+;=,.-? \"", r)
	})
}

// watchedBody looks for needles in what is read through it, also where they begin in one piece and end in the next.
type watchedBody struct {
	io.ReadCloser
	needles []needle
	found   func(field string)
	tail    []byte
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n == 0 || b.needles == nil {
		return n, err
	}
	seam := append(b.tail, p[:min(n, maxNeedle)]...)
	for _, x := range b.needles {
		if bytes.Contains(p[:n], []byte(x.value)) || bytes.Contains(seam, []byte(x.value)) {
			b.found(x.field)
			b.needles = nil
			return n, err
		}
	}
	if n >= maxNeedle {
		seam = append(seam[:0], p[n-maxNeedle:n]...)
	} else if len(seam) > maxNeedle {
		seam = append(seam[:0], seam[len(seam)-maxNeedle:]...)
	}
	b.tail = seam
	return n, err
}

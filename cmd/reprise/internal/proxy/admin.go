package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of admin requests.
const (
	maxPurgeBody  = 1 << 20
	maxTag        = 1 << 10 // of what the cache takes
	maxListed     = 100_000
	defaultListed = 1000
	purgeTimeout  = 30 * time.Second
)

// Purge is the body of POST /purge. What it names is unusable when the answer comes, on every proxy with the same store.
type Purge struct {
	URLs     []string `json:"urls,omitempty"`     // with all their variants; without a host, on every host
	Tags     []string `json:"tags,omitempty"`     // see Config.TagField
	Prefixes []string `json:"prefixes,omitempty"` // paths that end in a slash, with what is below them, on every host
	Keys     []string `json:"keys,omitempty"`     // as GET /entries lists them
	All      bool     `json:"all,omitempty"`
	Soft     bool     `json:"soft,omitempty"` // stale instead of unusable: served while it is refreshed, where the response allows that
}

// Listed is a line of what GET /entries answers.
type Listed struct {
	Key     string    `json:"key"`
	Base    string    `json:"base"`
	Kind    string    `json:"kind"`
	Status  int       `json:"status,omitempty"`
	Bytes   int       `json:"bytes"`
	Tags    []string  `json:"tags,omitempty"`
	Vary    []string  `json:"vary,omitempty"`
	Stored  time.Time `json:"stored"`
	Expires time.Time `json:"expires,omitzero"` // never, if it is not there
	Stale   bool      `json:"stale,omitempty"`
}

// adminHandler serves health checks to everybody who can reach it, and purging and listing to who has the token.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "draining")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	mux.Handle("POST /purge", s.authorised(s.purge))
	mux.Handle("GET /entries", s.authorised(s.list))
	mux.Handle("GET /stats", s.authorised(func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, s.cache.Stats()) }))
	purgeOne := s.authorised(s.purgeOne)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			b := newClientBody(w, r.Body, s.cfg.IdleTimeout)
			defer b.leave()
			r.Body = b
		}
		if r.Method == "PURGE" { // its path is that of the page, which ServeMux would clean
			purgeOne.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// authorised lets requests with the token through. Without a token the address is on loopback, and what keeps others out is
// that a web page cannot make a browser on this machine send such requests: not without Origin or Sec-Fetch-Site, and not with
// a Host that is no address of this machine.
func (s *Server) authorised(next http.HandlerFunc) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + s.cfg.AdminToken))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.AdminToken != "" {
			got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", "Bearer")
				answer(w, http.StatusUnauthorized, "a bearer token is needed: see --admin-token-file")
				return
			}
		} else if r.Header["Origin"] != nil || r.Header["Sec-Fetch-Site"] != nil || r.Method != "PURGE" && !loopback(withPort(r.Host)) {
			answer(w, http.StatusForbidden, "not from a browser, and to a loopback address")
			return
		}
		next(w, r)
	})
}

func withPort(host string) string {
	if !strings.Contains(host, ":") || strings.HasSuffix(host, "]") {
		return host + ":0"
	}
	return host
}

// purgeOne answers PURGE: the URL is that of the request, and its host that of Host unless that is where the request was
// sent to.
func (s *Server) purgeOne(w http.ResponseWriter, r *http.Request) {
	target := r.URL.EscapedPath()
	if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") && sentTo(r) {
		answer(w, http.StatusBadRequest, "the path does not begin with a slash, or with two, which without a Host of the page's could be one")
		return
	}
	if !sentTo(r) {
		target = "//" + r.Host + target
	}
	s.carryOut(w, r, Purge{URLs: []string{target}, Soft: r.Header.Get("Purge-Mode") == "soft"})
}

// sentTo reports whether Host names the admin address: loopback, the port on which the request came, under whatever name, or
// the address on which it came. To take a page's host for it purges too much; the other way round nothing would be purged.
func sentTo(r *http.Request) bool {
	if r.Host == "" || loopback(withPort(r.Host)) {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = strings.Trim(r.Host, "[]"), ""
	}
	return port == strconv.Itoa(local.Port) || port == "" && host == local.IP.String()
}

func (s *Server) purge(w http.ResponseWriter, r *http.Request) {
	var p Purge
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPurgeBody))
	d.DisallowUnknownFields()
	err := d.Decode(&p)
	if err == nil && d.More() {
		err = errors.New("more follows it; send one purge for each request")
	}
	if err != nil {
		answer(w, http.StatusBadRequest, "the body is not a purge: "+err.Error())
		return
	}
	s.carryOut(w, r, p)
}

func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, p Purge) {
	ctx, cancel := context.WithTimeout(r.Context(), purgeTimeout)
	defer cancel()
	switch err := s.invalidate(ctx, p); {
	case err == nil:
		answer(w, http.StatusOK, "purged")
	case errors.Is(err, errBadPurge):
		answer(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, errors.ErrUnsupported):
		answer(w, http.StatusNotImplemented, err.Error())
	default:
		answer(w, http.StatusInternalServerError, err.Error())
	}
}

var errBadPurge = errors.New("bad purge")

func (s *Server) invalidate(ctx context.Context, p Purge) error {
	c := s.cache
	if p.Soft {
		c = c.Soft()
	}
	if len(p.URLs)+len(p.Tags)+len(p.Prefixes)+len(p.Keys) == 0 && !p.All {
		return fmt.Errorf("%w: it names nothing; give urls, tags, prefixes, keys or all", errBadPurge)
	}
	tags := p.Tags
	for _, prefix := range p.Prefixes {
		tag, ok := prefixTag(prefix)
		if !ok {
			return fmt.Errorf("%w: the prefix %q is not a path of at most %d levels that begins and ends with a slash", errBadPurge, short(prefix), maxLevels)
		}
		tags = append(tags, tag)
	}
	if reason := p.fault(); reason != "" {
		return fmt.Errorf("%w: %s", errBadPurge, reason)
	}
	errs := []error{c.InvalidateTags(ctx, tags...), c.InvalidateURLs(ctx, p.URLs...)}
	if len(p.Keys) > 0 {
		_, err := c.Delete(ctx, p.Keys...)
		errs = append(errs, err)
	}
	if p.All {
		errs = append(errs, c.Clear(ctx))
	}
	return errors.Join(errs...)
}

// fault says what no cache could purge, before anything is: half a purge is none.
func (p *Purge) fault() string {
	for _, raw := range p.URLs {
		if !strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "http://") && !strings.HasPrefix(raw, "https://") {
			return fmt.Sprintf("%q is neither a path nor a URL of http or https", short(raw))
		}
		if u, err := url.Parse(raw); err != nil || u.Host == "" && !strings.HasPrefix(u.Path, "/") {
			return fmt.Sprintf("%q does not parse; write /path or https://host/path, with %%25 for a percent sign", short(raw))
		}
	}
	for _, tag := range p.Tags {
		if tag == "" || len(tag) > maxTag {
			return fmt.Sprintf("the tag %q has not between 1 and %d bytes", short(tag), maxTag)
		}
	}
	if slices.Contains(p.Keys, "") {
		return "a key is empty"
	}
	return ""
}

// maxLevels is how deep prefixes go that can be purged.
const maxLevels = 8

// prefixTag returns the tag of what is below a path, however that is spelled.
func prefixTag(prefix string) (string, bool) {
	if !strings.HasPrefix(prefix, "/") || !strings.HasSuffix(prefix, "/") {
		return "", false
	}
	levels := strings.Split(prefix, "/")
	for i, l := range levels {
		if text, err := url.PathUnescape(l); err == nil {
			levels[i] = url.PathEscape(text)
		}
	}
	tag := "prefix:" + strings.Join(levels, "/")
	return tag, len(levels) <= maxLevels+1 && len(tag) <= 512
}

// prefixTags names an answer by each level of its path.
func prefixTags(r *http.Request) []string {
	path := r.URL.EscapedPath()
	var tags []string
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		tag, ok := prefixTag(path[:i+1])
		if !ok {
			break // nor will any deeper level
		}
		tags = append(tags, tag)
	}
	return tags
}

// list answers GET /entries?prefix=&limit= with a line of JSON for each entry.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	limit := defaultListed
	if v := r.URL.Query().Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n <= 0 || n > maxListed {
			answer(w, http.StatusBadRequest, fmt.Sprintf("limit is not between 1 and %d", maxListed))
			return
		}
		limit = n
	}
	enc := json.NewEncoder(w)
	n := 0
	for e, err := range s.cache.Entries(r.Context(), r.URL.Query().Get("prefix")) {
		if err != nil {
			status := http.StatusInternalServerError
			if errors.Is(err, errors.ErrUnsupported) {
				status = http.StatusNotImplemented
			}
			if n == 0 {
				answer(w, status, err.Error())
				return
			}
			panic(http.ErrAbortHandler) // half a list must not pass for one
		}
		if n == 0 {
			w.Header().Set("Content-Type", "application/jsonl")
		}
		if n++; n > limit {
			return
		}
		if enc.Encode(Listed{e.Key, e.Base, e.Kind, e.Status, e.Bytes, e.Tags, e.Vary, e.Stored, e.Expires, e.Stale}) != nil {
			return
		}
	}
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

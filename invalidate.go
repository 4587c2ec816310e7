package reprise

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/reprise-go/reprise/internal/rfc9111"
)

// InvalidateTags makes every answer unusable that has one of the tags, in this process and in every other one on the
// same store, also one whose fill has begun but not ended. It costs the same for one entry as for a million. The
// error is a [*StoreError], or matches errors.ErrUnsupported where the store cannot number invalidations; then nothing was
// invalidated for certain.
func (c *Cache) InvalidateTags(ctx context.Context, tags ...string) error {
	var ns []string
	for _, t := range tags {
		if reason := tagFault(t); reason != "" {
			return fmt.Errorf("reprise: InvalidateTags: tag %.40q %s", t, reason)
		}
		ns = append(ns, c.name(nameTag, t))
	}
	return c.invalidate(ctx, "InvalidateTags", ns)
}

// name returns a name as the store takes it, soft on a soft handle.
func (c *Cache) name(kind byte, text string) string {
	if c.soft {
		kind -= soften
	}
	return string(kind) + text
}

func (c *Cache) invalidate(ctx context.Context, op string, ns []string) error {
	if !c.store.sequenced() {
		return fmt.Errorf("reprise: %s: the store cannot number invalidations: %w", op, errors.ErrUnsupported)
	}
	if len(ns) == 0 {
		return nil
	}
	return c.store.raise(ctx, ns)
}

// InvalidateURLs makes every answer unusable that was given at the path of one of the URLs, whatever its query, its
// request fields and its method. Scheme and query are ignored. A URL without a host ("/products/42") means the path on every host. Errors are those of
// [Cache.InvalidateTags], or say which URL does not parse; then nothing was invalidated.
func (c *Cache) InvalidateURLs(ctx context.Context, urls ...string) error {
	var ns []string
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			return fmt.Errorf("reprise: InvalidateURLs: %w", err)
		}
		if u.Opaque != "" || u.Host == "" && !strings.HasPrefix(u.Path, "/") {
			return fmt.Errorf("reprise: InvalidateURLs: %q has no absolute path; write /path or https://host/path", raw)
		}
		ns = append(ns, c.urlNames(u.Scheme, u.Host, u.EscapedPath())...)
	}
	return c.invalidate(ctx, "InvalidateURLs", ns)
}

// urlNames names a path on a host, or on every host.
func (c *Cache) urlNames(scheme, host, path string) []string {
	path = string(appendEscaped(nil, normalPath(orSlash(path))))
	if host == "" {
		return []string{c.name(namePath, path)}
	}
	ns := make([]string, 0, 3)
	hosts := []string{canonicalHost(host, scheme)}
	if scheme == "" {
		// Either scheme may be meant, and so either port may be the one that is not written.
		hosts = []string{canonicalHost(host, "http"), canonicalHost(host, "https")}
	}
	for _, h := range hosts {
		ns = append(ns, c.name(nameURL, string(appendEscaped(nil, h))+"|"+path))
	}
	return append(ns, c.name(nameURL, "|"+path)) // answers of routes with AnyHost
}

// Delete removes what is stored under the keys: full ones, as [Route.Key] returns them, or an application's own, as given to
// [Set] or made by [KeyOf] for a route with [Key]. It returns how many of them held something; the variants of one count as one. A fill
// that is under way does not bring it back. When the error is not nil nothing counts as removed.
func (c *Cache) Delete(ctx context.Context, keys ...string) (int, error) {
	var ns []string
	var groups [][]string
	root := string(appendEscaped(nil, c.namespace))
	for _, key := range keys {
		if key == "" {
			return 0, errors.New("reprise: Delete: a key is empty")
		}
		group := []string{key}
		if rest, ok := strings.CutPrefix(key, root); !ok || rest == "" || rest[0] != '|' && rest[0] != ':' || !strings.Contains(rest, "|") || !isKeyText(key) {
			own := applicationKey(key)
			group = []string{
				string(finishKey(appendOwn([]byte(root+"|"+partValue+"|"), key))),
				string(finishKey([]byte(root + "|" + http.MethodGet + "|" + own))),
			}
		}
		groups = append(groups, group)
		for _, k := range group {
			ns = append(ns, c.name(nameKey, k))
		}
	}
	if len(ns) == 0 {
		return 0, nil
	}
	// Marked first: what a fill brings back between the two steps is unusable.
	if err := c.store.raise(ctx, ns); err != nil {
		return 0, err
	}
	if c.soft {
		return c.countUsable(ctx, groups)
	}
	n := 0
	for _, group := range groups {
		removed := 0
		for _, key := range group {
			m, err := c.store.removeBase(ctx, key)
			if err != nil {
				return n, err
			}
			removed += m
		}
		n += min(removed, 1)
	}
	return n, nil
}

// countUsable counts the groups of keys that hold something.
func (c *Cache) countUsable(ctx context.Context, groups [][]string) (n int, err error) {
	for _, group := range groups {
		for _, key := range group {
			if _, err := c.Entry(ctx, key); err == nil {
				n++
				break
			}
		}
	}
	return n, nil
}

// Clear makes everything in this handle's namespace and below it unusable, and nothing else: "api" does not clear "apis". Where the
// store can, what it held is also removed. Errors are those of [Cache.InvalidateTags].
func (c *Cache) Clear(ctx context.Context) error {
	root := string(appendEscaped(nil, c.namespace))
	if err := c.invalidate(ctx, "Clear", []string{c.name(nameNamespace, root)}); err != nil || c.soft {
		return err
	}
	if c.store.clearer == nil {
		return nil // unusable is what was promised; the bytes go when their time is over
	}
	for _, end := range []string{"|", ":"} {
		if err := c.store.clear(ctx, root+end); err != nil {
			return err
		}
	}
	return nil
}

// write runs next for an unsafe request and, if it succeeds, invalidates what is stored for the URL (RFC 9111 §4.4), before the client
// can see that it has succeeded.
func (q *query) write(w http.ResponseWriter, next http.Handler) {
	rt := q.rt
	f := &fill{engine: rt.cache.engine, rt: rt, next: next, q: q, req: q.r, writes: true, began: q.now, why: ReasonMethod}
	r := q.withScope(w)
	f.ctx, f.cancel = r.Context(), func(error) {} // the run of a write is its client's own
	if rt.standard && r.Method == http.MethodPost {
		f.fence()
	}
	f.run(w, r)
	q.observeStatus(Bypass, ReasonMethod, f.recorder.status)
}

// invalidateWritten is called before the head of an answer to an unsafe request goes out. posted is the fill for that answer, nil if it
// is not to be kept; alone says that it may be.
func (f *fill) invalidateWritten(rec *recorder, posted *fill) (alone bool) {
	if !rfc9111.Invalidates(f.q.r.Method, rec.status) {
		return false
	}
	c := f.rt.cache
	if !c.store.sequenced() {
		return false // docs/stores/custom.md: such a store cannot forget what it does not know by key
	}
	r := f.q.r
	scheme, host := f.rt.schemeOf(r), r.Host
	path, _ := requestPath(r)
	hard := &Cache{engine: c.engine, namespace: c.namespace}
	ns := hard.urlNames(scheme, host, path)
	ns = append(ns, hard.groupNames(f.rt, r, rec.head)...)
	for _, target := range rfc9111.Targets(r.URL, r.Host, rec.head) {
		if u, err := url.Parse(target); err == nil {
			ns = append(ns, hard.urlNames(scheme, u.Host, u.EscapedPath())...)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.config.Limits.StoreTimeout)
	defer cancel()
	var err error
	if posted != nil {
		alone, err = posted.raiseAfter(ctx, ns)
	} else {
		err = c.store.raise(ctx, ns)
	}
	if err != nil {
		f.q.failure = err // the client gets its answer; the event and the log say what failed
	}
	return alone
}

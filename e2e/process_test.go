package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
)

// childPlace names the variable by which a test asks its own binary to be the other process, and says where its store is.
const childPlace = "REPRISE_E2E_CHILD"

// TestMain is the other process if it is asked to be.
func TestMain(m *testing.M) {
	if text := os.Getenv(childPlace); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if text := os.Getenv(fleetSpec); text != "" {
		if err := member(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// placeText is a place as JSON, for the other process.
type placeText struct {
	Kind, Prefix string
	Addrs        []string
}

// node is one process with a site in it: in this process, or in another.
type node interface {
	get(path string) (reply, error)
	// invalidate does what its words say: delete PATH, tag TAG, url URL or clear.
	invalidate(what, name string) error
	close() error
}

// reply is what a client got.
type reply struct {
	Header http.Header
	Body   string
}

// local is a node in this process.
type local struct {
	cache *reprise.Cache
	route *reprise.Route
	http.Handler
	calls    atomic.Int64
	closeAll func() error
}

func newLocal(p place, name string) (*local, error) {
	s, closeAll, err := p.open()
	if err != nil {
		return nil, err
	}
	n := &local{closeAll: closeAll}
	if n.cache, err = reprise.New(reprise.Config{
		Store: s, Logger: slog.New(slog.DiscardHandler), Limits: reprise.Limits{StoreTimeout: patience}, // what is slow is no miss
	}); err != nil {
		return nil, err
	}
	if n.route, err = n.cache.Namespace("shop").NewRoute(reprise.TTL(time.Hour), reprise.Tags("tag")); err != nil {
		return nil, err
	}
	n.Handler = n.route.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Link", "<a>")
		w.Header().Add("Link", "<b>")
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s by %s, call %d", r.URL.Path, name, n.calls.Add(1))
	}))
	return n, nil
}

func (n *local) get(path string) (reply, error) {
	w := httptest.NewRecorder()
	n.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return reply{w.Header(), w.Body.String()}, nil
}

func (n *local) invalidate(what, name string) error {
	ctx := context.Background()
	switch what {
	case "delete":
		key, err := n.route.Key(httptest.NewRequest(http.MethodGet, name, nil))
		if err != nil {
			return err
		}
		removed, err := n.cache.Delete(ctx, key)
		if err == nil && removed != 1 {
			err = fmt.Errorf("%d keys were removed; want 1", removed)
		}
		return err
	case "tag":
		return n.cache.InvalidateTags(ctx, name)
	case "url":
		return n.cache.InvalidateURLs(ctx, name)
	case "clear":
		return n.cache.Namespace(name).Clear(ctx)
	}
	return fmt.Errorf("no invalidation of kind %q", what)
}

func (n *local) close() error {
	if err := n.cache.Close(); err != nil {
		return err
	}
	return n.closeAll()
}

// child serves the commands that come in lines from the parent: get PATH, or those of invalidate.
func child(text string) error {
	var p placeText
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	n, err := newLocal(place{kind: p.Kind, addrs: p.Addrs, prefix: p.Prefix}, "child")
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		what, name, _ := strings.Cut(lines.Text(), " ")
		var r reply
		if what == "get" {
			r, err = n.get(name)
		} else {
			err = n.invalidate(what, name)
		}
		if err != nil {
			return err
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return n.close()
}

// remote is a node in another process.
type remote struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func newRemote(t *testing.T, p place) (*remote, error) {
	text, err := json.Marshal(placeText{p.kind, p.prefix, p.addrs})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childPlace+"="+string(text))
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &remote{cmd, in, json.NewDecoder(out)}, cmd.Start()
}

func (n *remote) do(what, name string) (r reply, err error) {
	if _, err := fmt.Fprintln(n.in, what, name); err != nil {
		return r, err
	}
	return r, n.out.Decode(&r)
}

func (n *remote) get(path string) (reply, error) { return n.do("get", path) }

func (n *remote) invalidate(what, name string) error {
	_, err := n.do(what, name)
	return err
}

func (n *remote) close() error {
	if err := n.in.Close(); err != nil {
		return err
	}
	return n.cmd.Wait()
}

// TestTwoProcesses has two caches on one store, each with its own connections: what the first stored the second serves,
// and what one invalidates the other does not serve any more, from the moment on at which the call returned.
func TestTwoProcesses(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, kind)
			a, err := newLocal(p, "a")
			if err != nil {
				t.Fatal(err)
			}
			b, err := newLocal(p, "b")
			if err != nil {
				t.Fatal(err)
			}
			converse(t, a, b)
		})
	}
}

// TestTwoSystemProcesses is TestTwoProcesses where the second is a process of the system.
func TestTwoSystemProcesses(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, kind)
			a, err := newLocal(p, "a")
			if err != nil {
				t.Fatal(err)
			}
			b, err := newRemote(t, p)
			if err != nil {
				t.Fatal(err)
			}
			converse(t, a, b)
		})
	}
}

func converse(t *testing.T, a, b node) {
	t.Helper()
	defer func() {
		for _, n := range []node{a, b} {
			if err := n.close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}()
	const path = "/products/42"
	get := func(n node, path string) reply {
		t.Helper()
		r, err := n.get(path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// stored asks n until it hits: an answer is stored after its client has it.
	stored := func(n node, path string) reply {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; {
			r := get(n, path)
			if r.Header.Get("X-Cache") == "HIT" {
				return r
			}
			if time.Now().After(deadline) {
				t.Fatalf("GET %s does not become a hit", path)
			}
			time.Sleep(time.Millisecond)
		}
	}
	first, second := a, b
	for _, how := range []struct{ what, name string }{
		{"delete", path}, {"tag", "tag"}, {"url", path}, {"url", "http://example.com" + path + "?any=thing"}, {"clear", "shop"},
	} {
		get(first, path)
		mine, yours := stored(first, path), get(second, path)
		if yours.Header.Get("X-Cache") != "HIT" {
			t.Fatalf("before %s: the second process does not hit what the first stored", how.what)
		}
		// The age may have become a second more.
		delete(mine.Header, "Cache-Status")
		delete(yours.Header, "Cache-Status")
		if yours.Header.Get("Age") == "" || mine.Header.Get("Etag") == "" {
			t.Errorf("fields %v lack Age or ETag", yours.Header)
		}
		delete(mine.Header, "Age")
		delete(yours.Header, "Age")
		if !maps.EqualFunc(mine.Header, yours.Header, slices.Equal) || mine.Body != yours.Body {
			t.Errorf("the second process serves\n%v %q\nthe first\n%v %q", yours.Header, yours.Body, mine.Header, mine.Body)
		}
		get(first, "/other")
		other := stored(first, "/other")
		if err := second.invalidate(how.what, how.name); err != nil {
			t.Fatalf("%s %s: %v", how.what, how.name, err)
		}
		for _, n := range []node{first, second} {
			if r := get(n, path); r.Body == mine.Body {
				t.Errorf("%s %s: %q is served after it returned", how.what, how.name, r.Body)
			}
			if r := get(n, "/other"); (r.Body == other.Body) != (how.what == "delete" || how.what == "url") {
				t.Errorf("%s %s: another path served %q after %q", how.what, how.name, r.Body, other.Body)
			}
		}
		first, second = second, first
	}
}

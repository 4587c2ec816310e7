package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/reprise-go/reprise/internal/realserver"
)

// output is what a command writes while others read it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// startProxy runs the command before origin. It returns the addresses of both sides, and what ends it and returns its exit
// code, standard output and standard error.
func startProxy(t *testing.T, origin string, args ...string) (front, admin string, stop func() (int, string, string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"proxy", "--origin", origin, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...), &out, &errs)
	}()
	t.Cleanup(cancel)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); front == "" || admin == ""; <-tick.C {
		for field := range strings.FieldsSeq(errs.String()) {
			if v, ok := strings.CutPrefix(field, "proxy="); ok {
				front = "http://" + v
			}
			if v, ok := strings.CutPrefix(field, "admin="); ok {
				admin = v
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the proxy does not listen: %s", &errs)
		}
	}
	return front, admin, func() (int, string, string) {
		cancel()
		return <-ended, out.String(), errs.String()
	}
}

func fetchText(t *testing.T, url string) (status, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.Header.Get("Cache-Status"), string(b)
}

// The whole of it on each store: a miss, a hit, what is listed, what is purged, and the end.
func TestProxy(t *testing.T) {
	first, second := realserver.Memcached(t)
	for name, store := range map[string]string{
		"memory":    "memory://",
		"file":      "file://" + t.TempDir(),
		"redis":     "redis://" + realserver.NewRedis(t).Addr(),
		"memcached": "memcached://" + first + "?addr=" + second,
		"dynamodb":  "dynamodb://proxy?endpoint=http://" + realserver.DynamoDB(t),
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n++
				w.Header().Set("Cache-Control", "max-age=60")
				fmt.Fprintf(w, "page %d", n)
			}))
			defer o.Close()
			front, admin, stop := startProxy(t, o.URL, "--store", store)
			page := front + "/shop/1"
			hit := func() bool {
				s, _ := fetchText(t, page)
				return strings.Contains(s, "; hit")
			}
			fetchText(t, page)
			// A store outside the process is written when the client has its answer.
			for deadline := time.Now().Add(20 * time.Second); !hit(); {
				if time.Now().After(deadline) {
					t.Fatal("no hit")
				}
			}
			if code, _, stderr := reprise(t, "ready", "--admin", admin); code != 0 {
				t.Errorf("ready = %d, %s; want 0", code, stderr)
			}
			if name != "memcached" && name != "dynamodb" { // which cannot list
				code, stdout, stderr := reprise(t, "ls", "--admin", admin)
				if code != 0 || !strings.Contains(stdout, "/shop/1") || !strings.Contains(stdout, "200") {
					t.Errorf("ls = %d, %q, %q; want the page", code, stdout, stderr)
				}
			}
			for _, args := range [][]string{{page}, {"/shop/1"}, {"--prefix", "/shop/"}, {"--all"}} {
				for deadline := time.Now().Add(20 * time.Second); !hit(); {
					if time.Now().After(deadline) {
						t.Fatalf("no hit before purge %q", args)
					}
				}
				if code, _, stderr := reprise(t, append([]string{"purge", "--admin", admin}, args...)...); code != 0 {
					t.Errorf("purge %q = %d, %s; want 0", args, code, stderr)
				}
				if hit() {
					t.Errorf("a hit after purge %q", args)
				}
			}
			if code, stdout, stderr := stop(); code != 0 || !strings.Contains(stdout, `"path":"/shop/1"`) {
				t.Errorf("proxy = %d, %q, %q; want 0 and an access log", code, stdout, stderr)
			}
			if code, _, stderr := reprise(t, "ready", "--admin", admin); code != 1 || !strings.Contains(stderr, "refused") {
				t.Errorf("ready afterwards = %d, %s; want 1", code, stderr)
			}
		})
	}
}

func TestProxyMistakes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "origin: http://127.0.0.1:1\nroutes: {/a: {off: true}}\n")
	bad := file("bad.yaml", "origin: ftp://x\nlisten: nowhere\nroutes: {/a: {of: true}}\n")
	torn := file("torn.yaml", "origin: http://127.0.0.1:1\n\tlisten: :1\n")
	short := file("short", "secret")
	tokens := file("tokens", "0123456789abcdef\nfedcba9876543210\n")
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr []string
	}{
		{"no origin", nil, 1, "", []string{"origin: is missing"}},
		{"no mistake", []string{"--check", "--config", good}, 0, "the configuration has no mistakes\n", nil},
		{"mistakes", []string{"--check", "--config", bad}, 1, "", []string{
			"bad.yaml:1: origin: ", "bad.yaml:2: listen: ", "bad.yaml:3: routes./a.of: is no option of a route; did you mean off?",
		}},
		{"no YAML", []string{"--check", "--config", torn}, 1, "", []string{"torn.yaml: yaml: line 2"}},
		{"flags win", []string{"--check", "--config", bad, "--origin", "http://x", "--listen", ":1"}, 1, "", []string{"bad.yaml:3: "}},
		{"no file", []string{"--config", dir + "/none.yaml"}, 1, "", []string{"--config: open"}},
		{"URL", []string{"--origin", "http://[::1"}, 1, "", []string{"origin: this is no URL"}},
		{"origin with a query", []string{"--origin", "http://a/?b"}, 1, "", []string{"has more than scheme, host and path"}},
		{"admin for all", []string{"--origin", "http://a", "--admin", ":9090"}, 1, "", []string{"can be reached by others"}},
		{"token", []string{"--origin", "http://a", "--admin-token-file", short}, 1, "", []string{"fewer than 16"}},
		{"two tokens", []string{"--origin", "http://a", "--admin-token-file", tokens}, 1, "", []string{"holds more than one line of visible ASCII"}},
		{"port", []string{"--origin", "http://a", "--listen", ":99999", "--admin", "127.0.0.1:x"}, 1, "", []string{`listen: ":99999" has no port`, `admin: "127.0.0.1:x" has no port`}},
		{"no token file", []string{"--origin", "http://a", "--admin-token-file", dir + "/none"}, 1, "", []string{"admin-token-file: open"}},
		{"network", []string{"--origin", "http://a", "--trusted-proxies", "10.0.0.0/8,ten"}, 1, "", []string{`trusted-proxies: "ten" is neither`}},
		{"log", []string{"--origin", "http://a", "--access-log", "xml"}, 1, "", []string{`access-log: "xml" is none of`}},
		{"reflection", []string{"--origin", "http://a", "--reflection", "on"}, 1, "", []string{`reflection: "on" is none of`}},
		{"several", []string{"--max-waiting", "-1", "--idle-timeout", "0s", "--tls-cert", "x", "--tag-field", "a b"}, 1, "", []string{
			"origin: is missing", "tls-cert: needs tls-key", "tag-field: ", "idle-timeout: 0s is not positive; leave it out", "max-waiting: -1 is negative",
		}},
		{"store", []string{"--origin", "http://a", "--check", "--store", "paper://x"}, 1, "", []string{"unknown kind of store"}},
		{"directory", []string{"--origin", "http://a", "--check", "--store", "file:///none/of/this"}, 0, "the configuration has no mistakes\n", nil},
		{"table", []string{"--origin", "http://a", "--check", "--store", "dynamodb://t?endpoint=http://127.0.0.1:1"}, 0, "the configuration has no mistakes\n", nil},
		{"no table", []string{"--origin", "http://a", "--check", "--store", "dynamodb://?endpoint=http://127.0.0.1:1"}, 1, "", []string{"no table"}},
		{"certificate", []string{"--origin", "http://a", "--check", "--tls-cert", short, "--tls-key", short}, 1, "", []string{"tls-cert: " + short}},
		{"argument", []string{"http://a"}, 1, "", []string{"the URL of the application belongs to --origin"}},
		{"arguments", []string{"--origin", "http://a", "b"}, 1, "", []string{`proxy takes flags alone, and "b" belongs to none`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := reprise(t, append([]string{"proxy"}, tt.args...)...)
			if code != tt.code || stdout != tt.stdout {
				t.Errorf("proxy %q = %d, %q; want %d, %q", tt.args, code, stdout, tt.code, tt.stdout)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if stderr == "" {
				lines = nil
			}
			if len(lines) != len(tt.stderr) {
				t.Fatalf("proxy %q says %q; want %d lines", tt.args, stderr, len(tt.stderr))
			}
			for i, want := range tt.stderr {
				if !strings.Contains(lines[i], want) {
					t.Errorf("proxy %q says %q; want %q", tt.args, lines[i], want)
				}
			}
		})
	}
}

// A network is compared with addresses of IPv4 as such, however it is written.
func TestPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "10.0.0.0/8": "10.0.0.0/8", "2001:db8::/32": "2001:db8::/32",
		"::ffff:10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.0/104": "10.0.0.0/8",
	} {
		if got, err := prefix(text); err != nil || got.String() != want {
			t.Errorf("prefix(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestExplain(t *testing.T) {
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.Header.Get("X-Private") != "" {
			w.Header().Set("Cache-Control", "private")
		}
	}))
	defer o.Close()
	head := filepath.Join(t.TempDir(), "head")
	if err := os.WriteFile(head, []byte("HTTP/2 404 \r\ncache-control: no-store\r\n\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	heads := filepath.Join(t.TempDir(), "heads")
	if err := os.WriteFile(heads, []byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/2 103\r\nlink: </a>\r\n\r\nHTTP/2 200\r\ncache-control: max-age=7\r\n\r\nbody"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string // of either output
	}{
		{[]string{o.URL}, 0, "1m0s, by max-age"},
		{[]string{"--request-header", "X-Private: 1", o.URL}, 0, "RFC 9111 §5.2.2.7  no: it says private"},
		{[]string{"--request-header", "Cookie: a=b", o.URL}, 0, "no: the request has Cookie"},
		{[]string{"--request-header", "Cookie: a=b", "--allow-cookies", o.URL}, 0, "yes: the request has Cookie"},
		{[]string{"--response", head}, 0, "RFC 9111 §5.2.2.5  no: it says no-store"},
		{[]string{"--response", heads}, 0, "7s, by max-age"},
		{nil, 1, "give either a URL or --response"},
		{[]string{"--response", head, o.URL}, 1, "give either a URL or --response"},
		{[]string{"--response", head + "x"}, 1, "no such file"},
		{[]string{"--request-header", "X", o.URL}, 1, "has no colon"},
		{[]string{"http://127.0.0.1:1/"}, 1, "refused"},
	} {
		code, stdout, stderr := reprise(t, append([]string{"explain"}, tt.args...)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("explain %q = %d, %q, %q; want %d, %q", tt.args, code, stdout, stderr, tt.code, tt.want)
		}
	}
}

// What docs/proxy.md says of flags and files is what the program has.
func TestProxyDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	proxyCommand().Flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(string(text), "`--"+f.Name) {
			t.Errorf("no word of --%s in docs/proxy.md", f.Name)
		}
	})
	for _, file := range []string{"../../deploy/reprise.yaml"} {
		if code, _, stderr := reprise(t, "proxy", "--check", "--config", file); code != 0 {
			t.Errorf("%s: %s", file, stderr)
		}
	}
}

// The Dockerfile puts the program into an image without a C library.
func TestStatic(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("builds the program for Linux")
	}
	program := filepath.Join(t.TempDir(), "reprise")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("the program needs %q, %v; want nothing", libraries, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program needs a dynamic linker")
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "reprise ") {
		t.Errorf("version = %q, %v; want its name", out, err)
	}
}

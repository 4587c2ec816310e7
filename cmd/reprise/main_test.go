package main

import (
	"errors"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
)

// TestMain is the program itself where a demo starts another process of it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "demo" {
		main()
	}
	os.Exit(m.Run())
}

// reprise runs a command line.
func reprise(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"help", nil, 0, "demo", ""},
		{"version", []string{"version"}, 0, "reprise ", ""},
		{"unknown command", []string{"serve"}, 1, "", `unknown command "serve"; reprise --help lists the commands`},
		{"nearly known command", []string{"demos"}, 1, "", `unknown command "demos"; did you mean demo?`},
		{"unknown flag", []string{"demo", "--twice"}, 1, "", "unknown flag: --twice; reprise demo --help lists the flags"},
		{"argument", []string{"demo", "twice"}, 1, "", `demo takes flags alone, and "twice" belongs to none`},
		{"explain without scheme", []string{"explain", "127.0.0.1:3000/a"}, 1, "", `"127.0.0.1:3000/a" is not a URL of http or https; give one such as`},
		{"explain with a port", []string{"explain", "localhost:3000/a"}, 1, "", `"localhost:3000/a" is not a URL of http or https`},
		{"no address", []string{"demo", "--once", "--listen", "nowhere"}, 1, "", "missing port"},
		{"no store", []string{"demo", "--once", "--store", "paper://tray"}, 1, "", "unknown kind of store"},
		{"store down", []string{"demo", "--once", "--store", "redis://127.0.0.1:1"}, 1, "", "the store does not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := reprise(t, tt.args...)
			if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) || (stderr == "") != (tt.stderr == "") {
				t.Errorf("run(%q) = %d, %q, %q; want %d, %q, %q", tt.args, code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

// Two processes on each store: both show their tours, and the second one the first one's hit.
func TestDemoStores(t *testing.T) {
	first, second := realserver.Memcached(t)
	var all sync.WaitGroup // they sleep most of the time
	for name, url := range map[string]string{
		"memory":    "memory://",
		"redis":     "redis://" + realserver.Redis(t),
		"memcached": "memcached://" + first + "?addr=" + second,
		"dynamodb":  "dynamodb://demo?endpoint=http://" + realserver.DynamoDB(t),
		"file":      "file://" + t.TempDir(),
	} {
		all.Go(func() {
			for _, elsewhere := range []bool{false, name != "memory"} {
				code, stdout, stderr := reprise(t, "demo", "--once", "--store", url)
				if code != 0 {
					t.Errorf("%s: exit code %d, %s\n%s", name, code, stderr, stdout)
				}
				if strings.Contains(stdout, "started for this step") != (name != "memory") {
					t.Errorf("%s: another process was started: %v; want %v\n%s", name, name == "memory", name != "memory", stdout)
				}
				if strings.Contains(stdout, "this hit came from elsewhere") != elsewhere {
					t.Errorf("%s: hits from elsewhere: %v; want %v", name, !elsewhere, elsewhere)
				}
			}
		})
	}
	all.Wait()
}

func TestOpenStore(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		url  string
		want string // of the error; "" is none
	}{
		{"memory://", ""},
		{"memory:", ""},
		{"memory://here", "memory has no address"},
		{"memory://?size=1", `unknown parameter "size"`},
		{"memory://?max_bytes=1000000", ""},
		{"memory://?max_bytes=512", "MaxBytes: 512 has no room for an entry"},
		{"file://" + dir, ""},
		{"file://" + dir + "?max_bytes=1000000", ""},
		{"file://" + dir + "?max_bytes=1MB", "max_bytes is not a positive number"},
		{"file://" + dir + "?bytes=1", `unknown parameter "bytes"`},
		{"file://relative/dir", "no absolute directory"},
		{"file:///", "no absolute directory"},
		{"redis://user:secret@127.0.0.1:1/0", ""},
		{"redis://user:secret@127.0.0.1:1/0?colour=red", `unknown parameter "colour"`},
		{"valkey://127.0.0.1:1", ""},
		{"memcached://127.0.0.1:1?addr=127.0.0.1:2", ""},
		{"memcached://127.0.0.1", "no server"},
		{"memcached://127.0.0.1:1/x", "no server"},
		{"memcached://127.0.0.1:1?server=x", `unknown parameter "server"`},
		{"dynamodb://table?endpoint=http://192.0.2.1:8000&region=eu-west-1", ""},
		{"dynamodb://?endpoint=http://192.0.2.1:8000", "no table"},
		{"dynamodb://table?url=http://192.0.2.1:8000", `unknown parameter "url"`},
		{"http://user:secret@127.0.0.1", "unknown kind of store"},
		{"redis", "unknown kind of store"},
		{"redis://user:secret@127.0.0.1:1:1/%zz", "no URL"},
	} {
		_, closer, err := openStore(t.Context(), tt.url)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("openStore(%q) = %v; want nil", tt.url, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("openStore(%q) = %v; want %q", tt.url, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("openStore(%q) = %v; the password shows", tt.url, err)
		}
		if err != nil {
			continue
		}
		if err := closer.Close(); err != nil {
			t.Errorf("Close of %q = %v; want nil", tt.url, err)
		}
	}
}

func TestOpenFile(t *testing.T) {
	url := "file://" + t.TempDir()
	s, closer, err := openStore(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), "k", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	closer.Close()
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get after Close = %v; want store.ErrClosed", err)
	}
	s, closer, err = openStore(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if v, err := s.Get(t.Context(), "k"); err != nil || string(v) != "v" {
		t.Errorf("Get = %q, %v; want what was kept", v, err)
	}
}

func TestRedacted(t *testing.T) {
	if got, want := redacted("redis://user:secret@host:1/0"), "redis://user:xxxxx@host:1/0"; got != want {
		t.Errorf("redacted = %q; want %q", got, want)
	}
}

func TestVersion(t *testing.T) {
	info := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{GoVersion: "go1.25", Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	for _, tt := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{info("v1.2.3"), "reprise v1.2.3 go1.25"},
		{info("v1.2.3", commit), "reprise v1.2.3 go1.25"},
		{info(""), "reprise (devel) go1.25"},
		{info("(devel)", commit), "reprise (devel) 0123456789ab go1.25"},
		{info("(devel)", commit, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "reprise (devel) 0123456789ab+changes go1.25"},
	} {
		if got := version(tt.info, true); got != tt.want {
			t.Errorf("version(%v) = %q; want %q", tt.info, got, tt.want)
		}
	}
	if got, want := version(nil, false), "reprise (unknown version)"; got != want {
		t.Errorf("version without build info = %q; want %q", got, want)
	}
}

func TestColorful(t *testing.T) {
	if colorful(io.Discard) {
		t.Error("what is no file is colourful")
	}
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if colorful(f) {
		t.Error("a file that is no terminal is colourful")
	}
}

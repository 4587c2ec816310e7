package realserver_test

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
)

// eventually waits until ok, for what another process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: still not after 10 s", what)
		}
	}
}

func do(t *testing.T, addr string, args ...string) string {
	t.Helper()
	reply, err := realserver.RedisDo(addr, args...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return reply
}

func TestRedisIsShared(t *testing.T) {
	if a, b := realserver.Redis(t), realserver.Redis(t); a != b {
		t.Errorf("Redis(t) = %s, then %s; want one server", a, b)
	}
	if got := do(t, realserver.Redis(t), "PING"); got != "PONG" {
		t.Errorf("PING = %q; want PONG", got)
	}
}

func TestMemcachedServersDiffer(t *testing.T) {
	if a, b := realserver.Memcached(t); a == b {
		t.Errorf("Memcached(t) = %s twice; want two servers", a)
	}
}

func TestRedisCluster(t *testing.T) {
	addrs := realserver.RedisCluster(t)
	served := 0
	for _, addr := range addrs {
		// Key "a" is in slot 15495, "b" in 3300, "c" in 7365: one for each third.
		for _, key := range []string{"a", "b", "c"} {
			if _, err := realserver.RedisDo(addr, "GET", key); err == nil {
				served++
			} else if !strings.HasPrefix(err.Error(), "MOVED ") {
				t.Errorf("GET %s from %s: %v; want a value or MOVED", key, addr, err)
			}
		}
	}
	if len(addrs) != 3 || served != 3 {
		t.Errorf("%d nodes serve %d of 3 keys; want 3 nodes, each with one", len(addrs), served)
	}
}

func TestServerLife(t *testing.T) {
	s := realserver.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	addr, first := s.Addr(), s.Pid()
	do(t, addr, "SET", "k", "v")

	s.Pause(t)
	answered := make(chan error, 1)
	go func() {
		_, err := realserver.RedisDo(addr, "PING")
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("a paused server answered (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	s.Continue(t)
	if err := <-answered; err != nil {
		t.Errorf("PING after Continue: %v", err)
	}

	s.Restart(t)
	if s.Addr() != addr || s.Pid() == first {
		t.Errorf("after Restart: %s, pid %d; want %s and another pid than %d", s.Addr(), s.Pid(), addr, first)
	}
	if got := do(t, addr, "GET", "k"); got != "v" {
		t.Errorf("after Restart k = %q; want it kept", got)
	}
	s.RestartEmpty(t)
	if got := do(t, addr, "EXISTS", "k"); got != "0" {
		t.Errorf("after RestartEmpty EXISTS k = %s; want 0", got)
	}

	s.Kill()
	s.Kill()
	if _, err := realserver.RedisDo(addr, "PING"); err == nil || s.Pid() != 0 {
		t.Errorf("after Kill: PING err = %v, pid %d; want an error and 0", err, s.Pid())
	}
}

func TestSentinelKnowsItsMaster(t *testing.T) {
	master := realserver.NewRedis(t)
	sentinel := realserver.NewRedisSentinel(t, master)
	if got := do(t, sentinel.Addr(), "SENTINEL", "CKQUORUM", "reprise"); !strings.HasPrefix(got, "OK") {
		t.Errorf("SENTINEL CKQUORUM = %q; want OK", got)
	}
}

// TestNothingSurvives runs this test binary again, lets it start servers and end without any clean-up.
func TestNothingSurvives(t *testing.T) {
	realserver.Redis(t) // skips where there is none
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestHelperExits$", "-test.v")
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != helperCode {
		t.Fatalf("the helper ended with %v; want code %d\n%s", err, helperCode, out)
	}
	_, rest, found := strings.Cut(string(out), "pid=")
	pid, err := strconv.Atoi(strings.TrimSpace(rest))
	if !found || err != nil {
		t.Fatalf("the helper printed no pid: %q", out)
	}
	eventually(t, "the server ends", func() bool {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		// A zombie is dead; who reaps orphans here is not our concern.
		return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || strings.Contains(string(state), ") Z ")
	})
}

const (
	helperEnv  = "REALSERVER_TEST_HELPER"
	helperCode = 7
)

func TestHelperExits(t *testing.T) {
	if os.Getenv(helperEnv) == "" {
		t.Skip("runs in a child process of TestNothingSurvives")
	}
	s := realserver.NewRedis(t)
	if _, err := os.Stdout.WriteString("pid=" + strconv.Itoa(s.Pid())); err != nil {
		t.Fatal(err)
	}
	os.Exit(helperCode)
}

// recorder is a testing.TB that notes how a test ends. The methods that it lacks are not called.
type recorder struct {
	testing.TB
	skipped, failed bool
	said            string
}

func (r *recorder) Helper()           {}
func (r *recorder) Skip(args ...any)  { r.skipped, r.said = true, args[0].(error).Error(); panic(r) }
func (r *recorder) Fatal(args ...any) { r.failed, r.said = true, args[0].(error).Error(); panic(r) }

func TestMissingServer(t *testing.T) {
	for _, tt := range []struct {
		required, remedy, want string
		skipped                bool
	}{
		{"", "", "`make test`", true},
		{"", "npm ci in tools/x", "npm ci in tools/x", true},
		{"required", "", "`make test`", false},
	} {
		t.Run(tt.required+tt.remedy, func(t *testing.T) {
			t.Setenv("REPRISE_TEST_SERVERS", tt.required)
			r := &recorder{TB: t}
			func() {
				defer func() { _ = recover() }()
				realserver.Start(r, realserver.Command{Name: "no-such-server", Remedy: tt.remedy})
			}()
			if r.skipped != tt.skipped || r.failed == tt.skipped {
				t.Errorf("skipped %t, failed %t; want skipped %t", r.skipped, r.failed, tt.skipped)
			}
			if !strings.Contains(r.said, "no-such-server") || !strings.Contains(r.said, tt.want) {
				t.Errorf("said %q; want the server and %q", r.said, tt.want)
			}
		})
	}
}

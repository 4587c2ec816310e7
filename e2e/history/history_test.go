//go:build linux

package history_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/e2e/history"
	"github.com/reprise-go/reprise/internal/realserver"
)

var soak = flag.Duration("soak", 0, "run the long histories, each for at most this long")

// workerVariable has the spec of a worker. With it, the test binary is one.
const workerVariable = "HISTORY_WORKER"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(workerVariable)
	if !ok {
		os.Exit(m.Run())
	}
	var spec history.Spec
	err := json.Unmarshal([]byte(text), &spec)
	if err == nil {
		err = history.Work(spec, os.Stdin, os.Stdout, breakages[spec.Broken])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// command returns how to start a worker.
func command(t *testing.T) func(history.Spec) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(spec history.Spec) *exec.Cmd {
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
		cmd.Stderr = os.Stderr
		return cmd
	}
}

// processes returns the specs of four, whose clocks are up to ten minutes apart and of which two have a tier in memory.
func processes(s history.Spec) []history.Spec {
	skews := [...]time.Duration{5 * time.Minute, -5 * time.Minute, 0, -90 * time.Second}
	specs := make([]history.Spec, len(skews))
	for i, skew := range skews {
		specs[i] = s
		specs[i].Process, specs[i].Skew, specs[i].Near = i, skew, i%2 == 1
	}
	return specs
}

// do runs cfg and prints what it counted.
func do(t *testing.T, cfg history.Config) history.Report {
	t.Helper()
	cfg.Command, cfg.Seed = command(t), uint64(time.Now().UnixNano())
	ctx := t.Context()
	if *soak > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *soak)
		defer cancel()
		cfg.Progress = func(r history.Report) {
			fmt.Printf("%s: %d of %d operations\n", t.Name(), r.Operations, cfg.Operations)
		}
	}
	report, err := history.Do(ctx, cfg)
	fmt.Printf("%s: %v\n", t.Name(), report)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// hold fails unless the run shows that the promise was kept.
func hold(t *testing.T, r history.Report) {
	t.Helper()
	const most = 20
	for i, v := range r.Violations {
		if i == most {
			t.Errorf("and %d more", len(r.Violations)-most)
			break
		}
		t.Error(v)
	}
	if r.Garbled > 0 {
		t.Errorf("%d answers made no sense", r.Garbled)
	}
	if r.Hits < uint64(r.Reads)/10 {
		t.Errorf("%d hits in %d reads: a cache that keeps nothing shows nothing", r.Hits, r.Reads)
	}
	if r.Failed > r.Operations/10 {
		t.Errorf("%d of %d operations were reads that failed", r.Failed, r.Operations)
	}
}

// size returns the size of a run: short in every test, long in a soak.
func size(short, long int) (operations, rounds int) {
	if *soak > 0 {
		return long, max(1, long/40_000)
	}
	return short, 1
}

func emptied(t *testing.T, s *realserver.Server) history.Fault {
	return history.Fault{Name: "emptied", Do: func(*history.Run) error { s.RestartEmpty(t); return nil }}
}

func restarted(t *testing.T, s *realserver.Server) history.Fault {
	return history.Fault{Name: "restarted", Do: func(*history.Run) error { s.Restart(t); return nil }}
}

const stopFor = 2 * time.Second

// TestMemory has one process and nothing to break: what is left are fills that are slow and an owner that stops.
func TestMemory(t *testing.T) {
	operations, rounds := size(10_000, 1_000_000)
	hold(t, do(t, history.Config{
		Operations: operations, Rounds: rounds, Objects: 200, Clients: 64, Mutations: 10,
		Workers: []history.Spec{{Store: history.Memory, Slow: 0.2}},
		Faults:  []history.Fault{history.StopOwner(stopFor)},
	}))
}

// TestRedisKeeps has a server that is killed and comes back with all its data.
func TestRedisKeeps(t *testing.T) {
	operations, rounds := size(10_000, 500_000)
	s := realserver.NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	hold(t, do(t, history.Config{
		Operations: operations, Rounds: rounds, Objects: 200, Clients: 16, Mutations: 10,
		Workers: processes(history.Spec{Store: history.Redis, Addr: s.Addr(), Durable: true, Slow: 0.2}),
		Faults:  []history.Fault{history.StopOwner(stopFor), history.Reset(), restarted(t, s)},
	}))
}

// TestRedisAnnounces has so few objects and invalidations that many look-ups go by what is known of the marks, and are right
// only if the server's announcements are heeded.
func TestRedisAnnounces(t *testing.T) {
	operations, rounds := size(20_000, 500_000)
	s := realserver.NewRedis(t, "--save", "")
	hold(t, do(t, history.Config{
		Operations: operations, Rounds: rounds, Objects: 8, Clients: 32, Mutations: 1,
		Workers: processes(history.Spec{Store: history.Redis, Addr: s.Addr(), Durable: true}),
		Faults:  []history.Fault{history.StopOwner(stopFor), history.Reset()},
	}))
}

// TestRedisForgets has a server that is killed and comes back with nothing, or with what it had some time before.
func TestRedisForgets(t *testing.T) {
	operations, rounds := size(10_000, 500_000)
	s := realserver.NewRedis(t)
	saved := history.Fault{Name: "saved", Do: func(*history.Run) error {
		_, err := realserver.RedisDo(s.Addr(), "SAVE")
		return err
	}}
	hold(t, do(t, history.Config{
		Operations: operations, Rounds: rounds, Objects: 200, Clients: 16, Mutations: 10,
		Workers: processes(history.Spec{Store: history.Redis, Addr: s.Addr(), Slow: 0.2}),
		Faults:  []history.Fault{saved, history.StopOwner(stopFor), restarted(t, s), history.Reset(), emptied(t, s)},
	}))
}

// TestMemcached has a server with little memory, which evicts values and marks alike, more so when it is crowded.
func TestMemcached(t *testing.T) {
	operations, rounds := size(10_000, 1_000_000)
	s := realserver.NewMemcached(t, "-m", "4")
	hold(t, do(t, history.Config{
		Operations: operations, Rounds: rounds, Objects: 400, Clients: 16, Mutations: 10,
		Workers: processes(history.Spec{Store: history.Memcached, Addr: s.Addr(), Slow: 0.2}),
		Faults: []history.Fault{
			crowded(s.Addr()), history.StopOwner(stopFor), crowded(s.Addr()), history.Reset(), restarted(t, s), crowded(s.Addr()),
		},
	}))
	evictions := memcachedStat(t, s.Addr(), "evictions")
	fmt.Printf("%s: %s evictions since the last restart\n", t.Name(), evictions)
	if evictions == "0" {
		t.Error("nothing was evicted")
	}
}

// crowded fills a Memcached server with items of the sizes of marks and values, so that others have to go.
func crowded(addr string) history.Fault {
	return history.Fault{Name: "crowded", Do: func(*history.Run) error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		w := bufio.NewWriter(c)
		for i := range 60_000 {
			size := 1 + i%40
			if i%40 == 0 {
				size = 1500
			}
			fmt.Fprintf(w, "set crowd:%020d 0 0 %d noreply\r\n%s\r\n", i, size, strings.Repeat("x", size))
		}
		fmt.Fprint(w, "version\r\n") // the only one that is answered
		if err := w.Flush(); err != nil {
			return err
		}
		_, err = bufio.NewReader(c).ReadString('\n')
		return err
	}}
}

func memcachedStat(t *testing.T, addr, name string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "stats\r\nquit\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(all), "STAT "+name+" ")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// TestDynamoDB has a service whose table is lost now and then. A local one is slow.
func TestDynamoDB(t *testing.T) {
	operations, rounds := size(500, 50_000)
	s := realserver.NewDynamoDB(t)
	if err := history.MakeTable(t.Context(), s.Addr()); err != nil {
		t.Fatal(err)
	}
	lost := history.Fault{Name: "emptied", Do: func(*history.Run) error {
		s.Restart(t)
		return history.MakeTable(t.Context(), s.Addr())
	}}
	hold(t, do(t, history.Config{
		Operations: operations, Rounds: rounds, Objects: 20, Clients: 4, Mutations: 10,
		Workers: processes(history.Spec{Store: history.DynamoDB, Addr: s.Addr(), Slow: 0.2}),
		Faults:  []history.Fault{history.StopOwner(stopFor), history.Reset(), lost},
	}))
}

// TestGraph has functions that are made of functions, five deep: when one of them was invalidated, none that is made of
// it, however far above, is served from before.
func TestGraph(t *testing.T) {
	operations, _ := size(4_000, 40_000)
	s := realserver.NewRedis(t)
	report := do(t, history.Config{
		Operations: operations, Clients: 8, Mutations: 26, Graph: true,
		Workers: processes(history.Spec{Store: history.Redis, Addr: s.Addr(), Slow: 0.05})[:3],
	})
	hold(t, report)
	if least := operations / 4; report.Dropped["tag"] < least*9/10 {
		t.Errorf("%d mutations; want %d", report.Dropped["tag"], least)
	}
}

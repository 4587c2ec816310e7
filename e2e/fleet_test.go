package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	members       = 8
	memberClients = 50

	fleetWork  = 100 * time.Millisecond // of the handler or loader
	fleetLease = 2 * time.Second        // the engine's
	fleetWait  = 30 * time.Second       // after which a member is taken not to answer
)

// fleet is some processes with a cache each, on one Redis.
type fleet struct {
	t       *testing.T
	spec    memberSpec
	members []*fleetProcess
	told    chan told
	key     int
}

type fleetProcess struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	orders *json.Encoder
	over   chan struct{} // closed when all it has told was received
}

func newFleet(t *testing.T, function bool) *fleet {
	t.Helper()
	p := newPlace(t, "redis")
	f := &fleet{
		t: t, told: make(chan told), members: make([]*fleetProcess, members),
		spec: memberSpec{Place: placeText{p.kind, p.prefix, p.addrs}, Clients: memberClients, Function: function},
	}
	if !*full {
		f.spec.StoreTimeout = 5 * time.Second // a busy machine is no store that fails
	}
	for i := range f.members {
		f.start(i)
	}
	t.Cleanup(f.close)
	return f
}

// start starts the process of a member.
func (f *fleet) start(i int) {
	f.t.Helper()
	f.spec.Member = i
	text, err := json.Marshal(f.spec)
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fleetSpec+"="+string(text))
	cmd.Stderr = f.t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	p := &fleetProcess{cmd: cmd, in: in, orders: json.NewEncoder(in), over: make(chan struct{})}
	f.members[i] = p
	go func() { // ends with the process
		defer close(p.over)
		for lines := json.NewDecoder(out); ; {
			said := told{Member: i}
			if err := lines.Decode(&said); err != nil {
				said.Gone = err
			}
			f.told <- said
			if said.Gone != nil {
				return
			}
		}
	}()
}

// close lets all processes end.
func (f *fleet) close() {
	closed := make(chan struct{})
	defer close(closed)
	go func() { // what they still tell is of no interest
		for {
			select {
			case <-f.told:
			case <-closed:
				return
			}
		}
	}()
	for _, p := range f.members {
		if p == nil {
			continue // it has not started
		}
		_ = p.in.Close()
		if f.t.Failed() {
			_ = p.cmd.Process.Kill() // it may hang
		}
		<-p.over
		if err := p.cmd.Wait(); err != nil && !f.t.Failed() {
			f.t.Errorf("a member: %v", err)
		}
	}
}

// round is what became of one key.
type round struct {
	runs   int           // of the handler or loader, in all processes
	spread time.Duration // from the commit to the last answer
	added  time.Duration // from the end of the owner to the last answer, without the work and the lease
}

// round lets all clients of all members ask for a cold key at once. With kill, the first process that runs the handler
// or loader is killed in it.
func (f *fleet) round(kill bool) round {
	f.t.Helper()
	f.key++
	o := order{Key: f.key, Work: fleetWork}
	for _, p := range f.members {
		if err := p.orders.Encode(o); err != nil {
			f.t.Fatal(err)
		}
	}
	var r round
	var killed, committed, last int64 // as in told
	answer, victim := "", -1
	timeout := time.NewTimer(fleetWait)
	defer timeout.Stop()
	for waiting := members; waiting > 0 || committed == 0; {
		var said told
		select {
		case said = <-f.told:
		case <-timeout.C:
			f.t.Fatalf("key %d: %d of %d processes have not answered, after %d runs", f.key, waiting, members, r.runs)
		}
		switch {
		case said.Gone != nil && said.Member == victim:
			waiting--
		case said.Gone != nil:
			f.t.Fatalf("member %d has ended: %v", said.Member, said.Gone)
		case said.Key != f.key:
			f.t.Fatalf("member %d tells of key %d: %+v", said.Member, f.key, said)
		case said.Runs:
			if r.runs++; kill && r.runs == 1 {
				victim, killed = said.Member, time.Now().UnixNano()
				_ = f.members[victim].cmd.Process.Kill() // as a machine fails
			}
		case said.Committed != 0:
			committed = said.Committed
		default:
			waiting--
			last = max(last, said.Last)
			if answer == "" {
				answer = said.Answer
			}
			if said.Wrong != "" || said.Answer != answer {
				f.t.Errorf("key %d: clients got %q, %q and %q", f.key, answer, said.Answer, said.Wrong)
			}
		}
	}
	r.spread = time.Duration(last - committed)
	if victim >= 0 {
		r.added = time.Duration(last-killed) - fleetWork - fleetLease
		<-f.members[victim].over
		_ = f.members[victim].cmd.Wait() // it was killed
		f.start(victim)
	}
	return r
}

// TestFleet has processes of the system ask for one cold key at once: one of all runs the handler or loader. When that one
// is killed in it, one other does.
func TestFleet(t *testing.T) {
	rounds, kills := 20, 1
	if *full {
		rounds, kills = 200, 20
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d processes, %d clients each, one cold key; the work takes %v, the lease %v\n", members, memberClients, fleetWork, fleetLease)
	b.WriteString("| what | rounds | of one run | commit to last answer, median | p99 | worst | owner killed | runs at most | added wait beyond the lease, median | worst |\n")
	b.WriteString("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, what := range []string{"handler", "function"} {
		t.Run(what, func(t *testing.T) {
			f := newFleet(t, what == "function")
			once, most := 0, 0
			var spread, added []time.Duration
			for range rounds {
				r := f.round(false)
				if r.runs == 1 {
					once++
				} else {
					t.Errorf("key %d: %d runs; want 1", f.key, r.runs)
				}
				spread = append(spread, r.spread)
			}
			for range kills {
				r := f.round(true)
				if most = max(most, r.runs); r.runs > 2 {
					t.Errorf("key %d: %d runs, the first of a process that was killed; want 2", f.key, r.runs)
				}
				added = append(added, r.added)
			}
			fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %d | %d | %s | %s |\n", what, rounds, once,
				short(nth(spread, 0.5)), short(nth(spread, 0.99)), short(nth(spread, 1)), kills, most, short(nth(added, 0.5)), short(nth(added, 1)))
		})
	}
	t.Log(b.String())
}

// nth returns what q of the durations do not exceed.
func nth(all []time.Duration, q float64) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

//go:build linux

package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config says what a run is.
type Config struct {
	_ [0]func()

	Operations int
	Objects    int
	Clients    int // at once, of each process
	Seed       uint64
	Mutations  int  // in 100 operations
	Graph      bool // nothing but a graph of functions, and invalidations by tag; Objects is then known

	Workers []Spec
	// Command returns the command that runs [Work] with the spec, over its standard input and output.
	Command func(Spec) *exec.Cmd

	// Faults happen one after another, in turn, evenly over the operations, so that there are Rounds of all of them.
	Faults []Fault
	Rounds int

	// Progress is called about ten times in a run; it may be nil.
	Progress func(Report)
}

// Fault is something that goes wrong. Do returns when it is over.
type Fault struct {
	Name string
	Do   func(*Run) error
}

// Report counts what happened.
type Report struct {
	Operations int
	Reads      int // that were answered
	Failed     int // reads that were not
	Garbled    int // answers that made no sense
	Hits       uint64
	Dropped    map[string]int // acknowledged invalidations, by kind
	Unsure     map[string]int // those that returned an error
	Faults     map[string]int
	Took       time.Duration
	Violations []Violation // every one; nil before the end
}

func (r Report) String() string {
	rest := ""
	if r.Garbled > 0 {
		rest = fmt.Sprintf(", %d GARBLED", r.Garbled)
	}
	return fmt.Sprintf("%d operations in %v: %d reads (%d hits, %d failed%s), invalidations %v (of unknown outcome %v), faults %v, %d violations",
		r.Operations, r.Took.Round(time.Millisecond), r.Reads, r.Hits, r.Failed, rest, r.Dropped, r.Unsure, r.Faults, len(r.Violations))
}

// Run is a run under way.
type Run struct {
	cfg      Config
	versions []atomic.Uint64 // the database
	workers  []*process

	issued   atomic.Int64
	over     atomic.Bool
	progress chan struct{} // has room for one

	mu      sync.Mutex // guards what clients add when they end
	history History
	report  Report
	errs    []error
	stop    chan *process // has room for one while the owner of the next fill is to be stopped
}

// process is a worker as the driver sees it.
type process struct {
	number int
	cmd    *exec.Cmd
	link   *link
	stdin  io.Closer

	ids   atomic.Uint64
	mu    sync.Mutex
	calls map[uint64]chan *message
	ended error // once its connection has ended
}

// Do runs cfg until all operations are done or ctx ends, and checks what happened. Faults are called by the goroutine that
// calls Do.
func Do(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Graph {
		cfg.Objects = graphNodes
	}
	r := &Run{
		cfg: cfg, versions: make([]atomic.Uint64, cfg.Objects), progress: make(chan struct{}, 1),
		report: Report{Dropped: map[string]int{}, Unsure: map[string]int{}, Faults: map[string]int{}},
	}
	defer r.kill()
	for i, spec := range cfg.Workers {
		p, err := r.start(i, spec)
		if err != nil {
			return r.report, err
		}
		r.workers = append(r.workers, p)
	}
	for _, p := range r.workers {
		if err := p.ready(ctx); err != nil {
			return r.report, err
		}
	}
	began := time.Now()
	var clients sync.WaitGroup
	for i, p := range r.workers {
		for j := range cfg.Clients {
			c := &client{Run: r, process: p, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(i*cfg.Clients+j)))} //nolint:gosec // a repeatable run
			clients.Go(c.work)
		}
	}
	done := make(chan struct{})
	go func() { // ends when the clients have
		clients.Wait()
		close(done)
	}()
	err := r.disturb(ctx, done)
	r.over.Store(true)
	<-done
	r.report.Took = time.Since(began)
	for _, p := range r.workers {
		if m, cerr := p.call(&message{Verb: doCount}); cerr == nil {
			r.report.Hits += m.Hits
		} else {
			err = errors.Join(err, cerr)
		}
	}
	r.report.Operations = min(int(r.issued.Load()), cfg.Operations)
	r.report.Violations = r.history.Check()
	return r.report, errors.Join(append(r.errs, err)...)
}

// disturb makes faults until done is closed.
func (r *Run) disturb(ctx context.Context, done <-chan struct{}) error {
	faults := len(r.cfg.Faults) * r.cfg.Rounds
	told := 0
	for next := 1; ; {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return nil
		case <-r.progress:
		}
		issued := int(r.issued.Load())
		if share := 10 * issued / r.cfg.Operations; share > told && r.cfg.Progress != nil {
			told = share
			r.cfg.Progress(Report{Operations: issued})
		}
		if next > faults || issued < next*r.cfg.Operations/(faults+1) {
			continue
		}
		f := r.cfg.Faults[(next-1)%len(r.cfg.Faults)]
		if err := f.Do(r); err != nil {
			return fmt.Errorf("history: %s: %w", f.Name, err)
		}
		r.report.Faults[f.Name]++
		next++
	}
}

// ticket reports whether there is another operation to do.
func (r *Run) ticket() bool {
	if r.over.Load() || r.issued.Add(1) > int64(r.cfg.Operations) {
		return false
	}
	select {
	case r.progress <- struct{}{}:
	default:
	}
	return true
}

func (r *Run) start(number int, spec Spec) (*process, error) {
	cmd := r.cfg.Command(spec)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{number: number, cmd: cmd, stdin: in, link: newLink(out, in), calls: make(map[uint64]chan *message)}
	go p.listen(r) // ends with the process
	return p, nil
}

const (
	readyTimeout = 30 * time.Second
	readyPause   = 20 * time.Millisecond
)

// ready waits until p reaches its store.
func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		m, err := p.call(&message{Verb: doDropTag, Text: "ready"})
		if err != nil {
			return err
		}
		if m.Err == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("history: process %d does not reach its store: %s", p.number, m.Err)
		case <-time.After(readyPause):
		}
	}
}

// kill ends the workers.
func (r *Run) kill() {
	for _, p := range r.workers {
		_ = p.stdin.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed
	}
}

// listen hands replies to those who wait for them, and answers questions.
func (p *process) listen(r *Run) {
	for {
		m, err := p.link.receive()
		if err != nil {
			p.mu.Lock()
			p.ended = fmt.Errorf("history: process %d has ended: %w", p.number, err)
			for _, reply := range p.calls {
				close(reply)
			}
			p.calls = nil
			p.mu.Unlock()
			return
		}
		if m.Verb == askVersion {
			m.Version = r.versions[m.Thing.Object].Load()
			_ = p.link.send(m) // if that fails, receive will
			r.began(p)
			continue
		}
		p.mu.Lock()
		reply := p.calls[m.ID]
		delete(p.calls, m.ID)
		p.mu.Unlock()
		reply <- m
	}
}

// call sends m and returns the reply. An error of the worker's is in the reply.
func (p *process) call(m *message) (*message, error) {
	m.ID = p.ids.Add(1)
	reply := make(chan *message, 1)
	p.mu.Lock()
	if p.ended != nil {
		p.mu.Unlock()
		return nil, p.ended
	}
	p.calls[m.ID] = reply
	p.mu.Unlock()
	if err := p.link.send(m); err != nil {
		return nil, err
	}
	m, ok := <-reply
	if !ok {
		return nil, p.ended
	}
	return m, nil
}

// began says that a fill has begun in p. If somebody wants its owner stopped, it is.
func (r *Run) began(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop == nil {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		r.errs = append(r.errs, err)
	}
	r.stop <- p
	r.stop = nil
}

// StopOwner is the fault that the process of a fill is stopped in the middle of it for that long.
func StopOwner(d time.Duration) Fault {
	return Fault{"stopped", func(r *Run) error {
		stopped := make(chan *process, 1)
		r.mu.Lock()
		r.stop = stopped
		r.mu.Unlock()
		select {
		case p := <-stopped:
			time.Sleep(d)
			return p.cmd.Process.Signal(syscall.SIGCONT)
		case <-time.After(d): // no fill begins: the run is at its end
			r.mu.Lock()
			r.stop = nil
			r.mu.Unlock()
			select {
			case p := <-stopped:
				return p.cmd.Process.Signal(syscall.SIGCONT)
			default:
				return nil
			}
		}
	}}
}

// Reset is the fault that the connections of each process to the store are reset.
func Reset() Fault {
	return Fault{"reset", func(r *Run) error {
		for _, p := range r.workers {
			m, err := p.call(&message{Verb: doReset})
			if err != nil {
				return err
			}
			if m.Err != "" {
				return errors.New(m.Err)
			}
		}
		return nil
	}}
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Run runs each scenario of file as a subtest named after it, below one named after the file. Scenarios and steps that
// carry a mark are left out unless it is one of marks.
func Run(t *testing.T, file string, open Open, marks ...string) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parse(file, string(src))
	if err != nil {
		t.Fatal(err)
	}
	t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
		for _, sc := range s.scenarios {
			t.Run(sc.name, func(t *testing.T) {
				if sc.mark != "" && !slices.Contains(marks, sc.mark) {
					t.Skipf("%s:%d: only for [%s]", file, sc.line, sc.mark)
				}
				start := open(t)
				synctest.Test(t, func(t *testing.T) {
					w := &world{t: t, file: file, scenario: sc, start: start, marks: marks}
					w.run()
				})
			})
		}
	})
}

// patience is how long, by the clock of the scenario, a response may take.
const patience = 24 * time.Hour

// reporter is what a world needs of a testing.T.
type reporter interface {
	Context() context.Context
	Errorf(format string, args ...any)
	Helper()
}

// world is where a scenario takes place. Only parallel clients and the origin touch it from other goroutines, and those
// only report.
type world struct {
	t         reporter
	file      string
	scenario  *scenario
	start     func([]Option) (Subject, error)
	marks     []string
	origin    *origin
	processes map[string]*process
	current   string
	pending   map[string]*exchange // by client; "" waits at once
	vars      map[string]string
	marked    tally
}

func (w *world) errorf(line int, format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("%s:%d: %s", w.file, line, fmt.Sprintf(format, args...))
}

func (w *world) run() {
	w.origin = &origin{report: func(line int, err error) { w.errorf(line, "%v", err) }}
	w.origin.set(w.scenario.origin)
	w.processes = map[string]*process{}
	w.pending = map[string]*exchange{}
	w.vars = map[string]string{}
	defer func() {
		for name, p := range w.processes {
			if err := p.close(); err != nil {
				w.errorf(w.scenario.line, "ending process %s: %v", name, err)
			}
		}
	}()
	if err := w.enter("A"); err != nil {
		w.errorf(w.scenario.line, "%v", err)
		return
	}
	for _, s := range w.scenario.steps {
		if s.mark != "" && !slices.Contains(w.marks, s.mark) {
			continue
		}
		if err := s.do.run(w, s.line); err != nil {
			w.errorf(s.line, "%v", err)
			return
		}
		synctest.Wait() // what the step set off in the background has happened
	}
	for client := range w.pending {
		w.errorf(w.scenario.line, "nobody looked at the last response of client %q", client)
	}
}

// enter makes the process of that name the current one, and begins it if it is new.
func (w *world) enter(name string) error {
	if w.processes[name] == nil {
		p, err := newProcessOf(w)
		if err != nil {
			return fmt.Errorf("beginning process %s: %w", name, err)
		}
		w.processes[name] = p
	}
	w.current = name
	return nil
}

var variableRE = regexp.MustCompile(`\$[a-z]+`)

// text returns what makes a text out of what a step says: {i} is client, $name what was remembered.
func (w *world) text(client int) func(string) (string, error) {
	return func(s string) (string, error) {
		s = expand(s, func(name, arg string) (string, bool) {
			switch name {
			case "i":
				return strconv.Itoa(client), client > 0
			case "repeat":
				return repeat(arg)
			}
			return "", false
		})
		var err error
		s = variableRE.ReplaceAllStringFunc(s, func(name string) string {
			v, ok := w.vars[name]
			if !ok {
				err = fmt.Errorf("nothing was remembered as %s", name)
			}
			return v
		})
		return s, err
	}
}

func (s *send) run(w *world, _ int) error {
	if w.pending[s.client] != nil {
		return fmt.Errorf("nobody looked at the response before")
	}
	x, err := s.begin(w, 0)
	if err != nil {
		return err
	}
	w.pending[s.client] = x
	return nil
}

func (s *send) begin(w *world, client int) (*exchange, error) {
	request, err := s.wireRequest(w.text(client))
	if err != nil {
		return nil, err
	}
	p := w.processes[w.current]
	conn, err := p.connect()
	if err != nil {
		return nil, err
	}
	return begin(conn, s.method, request, p.release), nil
}

func (e *expect) run(w *world, line int) error {
	x := w.pending[e.client]
	if x == nil {
		return fmt.Errorf("no request whose response this could be")
	}
	if !e.open {
		delete(w.pending, e.client)
		if err := x.wait(); err != nil {
			return err
		}
	}
	for _, wrong := range e.check(x, w.text(0), func(name, value string) { w.vars[name] = value }) {
		w.errorf(line, "%s", wrong)
	}
	return nil
}

// wait returns when the response has ended, whole or not.
func (x *exchange) wait() error {
	select {
	case <-x.done:
		return nil
	case <-time.After(patience):
		_ = x.conn.Close()
		<-x.done
		return fmt.Errorf("no end of the response after %v", patience)
	}
}

func (c hangUp) run(w *world, _ int) error {
	x := w.pending[string(c)]
	if x == nil {
		return fmt.Errorf("client %s has no request on its way", string(c))
	}
	delete(w.pending, string(c))
	_ = x.conn.Close()
	<-x.done
	return nil
}

func (s *parallel) run(w *world, _ int) error {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		marked = tally{}
		failed error
		shown  int
	)
	client := func(i int) error {
		for _, p := range s.pairs {
			x, err := p.send.begin(w, i)
			if err == nil {
				err = x.wait()
			}
			if err != nil {
				return fmt.Errorf("client %d: %w", i, err)
			}
			wrong := p.expect.check(x, w.text(i), nil)
			mu.Lock()
			if x.response != nil {
				marked[markOf(x.response)]++
				marked[strconv.Itoa(x.response.StatusCode)]++
			}
			if x.err != nil {
				marked["cut"]++
			}
			for _, text := range wrong {
				if shown++; shown <= 5 {
					w.errorf(p.line, "client %d: %s", i, text)
				}
			}
			mu.Unlock()
		}
		return nil
	}
	for i := range s.clients {
		wg.Go(func() {
			if err := client(i + 1); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if shown > 5 {
		failed = errors.Join(failed, fmt.Errorf("%d more mistakes", shown-5))
	}
	w.marked = marked
	return failed
}

func (want tally) run(w *world, line int) error {
	if w.marked == nil {
		return fmt.Errorf("tally without parallel")
	}
	for mark, n := range want {
		if got := w.marked[mark]; got != n {
			w.errorf(line, "%s=%d clients; want %d (all: %v)", mark, got, n, map[string]int(w.marked))
		}
	}
	return nil
}

func (d advance) run(*world, int) error {
	time.Sleep(time.Duration(d))
	return nil
}

func (n calls) run(w *world, line int) error {
	if got := w.origin.calls.Load(); got != int64(n) {
		w.errorf(line, "n=%d calls of the origin; want %d", got, int64(n))
	}
	return nil
}

func (h setOrigin) run(w *world, _ int) error {
	w.origin.set(h)
	return nil
}

func (name setProcess) run(w *world, _ int) error { return w.enter(string(name)) }

func (newProcess) run(w *world, _ int) error {
	p := w.processes[w.current]
	delete(w.processes, w.current)
	if err := p.close(); err != nil {
		return fmt.Errorf("ending process %s: %w", w.current, err)
	}
	return w.enter(w.current)
}

func (c *command) run(w *world, line int) error {
	got, err := w.processes[w.current].command(w.t.Context(), c, w.text(0))
	if len(c.fails) > 0 {
		for _, text := range c.fails {
			if err == nil || !strings.Contains(err.Error(), text) {
				w.errorf(line, "error %v; want one that contains %q", err, text)
			}
		}
		return nil
	}
	if err != nil {
		w.errorf(line, "%v", err)
		return nil
	}
	if c.output != nil && got != *c.output {
		w.errorf(line, "output %q; want %q", got, *c.output)
	}
	for _, text := range c.has {
		if !strings.Contains(got, text) {
			w.errorf(line, "output %q; want it to contain %q", got, text)
		}
	}
	return nil
}

// newRequest is the request that a command names, as a server would see it.
func (c *command) newRequest(ctx context.Context, text func(string) (string, error)) (*http.Request, error) {
	method, target, _ := c.request()
	raw, err := (&send{method: method, target: target, fields: c.fields}).wireRequest(text)
	if err != nil {
		return nil, err
	}
	return readRequest(ctx, raw)
}

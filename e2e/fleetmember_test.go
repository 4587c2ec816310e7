package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/redisstore"
)

// fleetSpec names the variable by which a test asks its own binary to be a member of a fleet, and has its spec.
const fleetSpec = "REPRISE_E2E_FLEET"

// memberSpec says what a member asks for, and where its store is.
type memberSpec struct {
	Place        placeText
	Member       int
	Clients      int  // at once, for one key
	Function     bool // a memoized function, not a handler
	StoreTimeout time.Duration
}

// order makes a member ask for a key that nobody has asked for.
type order struct {
	Key  int
	Work time.Duration // of the handler or loader
}

// told is one thing that a member tells of an order: that it runs the handler or loader, that the answer is in the
// store, or what its clients got. Times are by the clock of the machine, in nanoseconds.
type told struct {
	Key       int
	Runs      bool
	Committed int64  // when it began to store the answer, which has succeeded
	Last      int64  // when the last client had its answer
	Answer    string // the first client's
	Wrong     string // what another one got instead

	Member int   `json:"-"`
	Gone   error `json:"-"` // the process has ended
}

// member serves the orders that come in lines.
func member(text string) error {
	var spec memberSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	p := place{kind: spec.Place.Kind, addrs: spec.Place.Addrs, prefix: spec.Place.Prefix}
	far, err := p.openRedis()
	if err != nil {
		return err
	}
	m := &fleetMember{spec: spec, out: json.NewEncoder(os.Stdout)}
	config := reprise.Config{Store: &committing{far, m}, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	config.Limits.StoreTimeout = spec.StoreTimeout
	c, err := reprise.New(config)
	if err != nil {
		return err
	}
	if err := m.open(c); err != nil {
		return err
	}
	orders := json.NewDecoder(os.Stdin)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return errors.Join(c.Close(), far.Close())
		} else if err != nil {
			return err
		}
		if err := m.obey(o); err != nil {
			return err
		}
	}
}

type fleetMember struct {
	spec memberSpec
	ask  func(key int) (string, error)

	mu    sync.Mutex
	out   *json.Encoder
	order order
}

// open makes what the clients ask.
func (m *fleetMember) open(c *reprise.Cache) error {
	if m.spec.Function {
		f, err := reprise.NewFunc(c, "f", func(_ context.Context, key int) (string, error) { return m.run(key) })
		m.ask = func(key int) (string, error) { return f.Get(context.Background(), key) }
		return err
	}
	h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		key, err := strconv.Atoi(r.URL.Path[1:])
		if err == nil {
			var answer string
			answer, err = m.run(key)
			_, _ = io.WriteString(w, answer)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	m.ask = func(key int) (string, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, fmt.Sprint("/", key), nil))
		if w.Code != http.StatusOK {
			return "", fmt.Errorf("status %d: %s", w.Code, w.Body)
		}
		return w.Body.String(), nil
	}
	return nil
}

// run is the handler or loader.
func (m *fleetMember) run(key int) (string, error) {
	work, err := m.tell(told{Runs: true})
	if err != nil {
		return "", err
	}
	time.Sleep(work)
	return fmt.Sprintf("%d by member %d", key, m.spec.Member), nil
}

// tell tells t of the order that is being obeyed, and returns how long its work takes.
func (m *fleetMember) tell(t told) (work time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Key = m.order.Key
	return m.order.Work, m.out.Encode(t)
}

// obey lets the clients ask, all at once.
func (m *fleetMember) obey(o order) error {
	m.mu.Lock()
	m.order = o
	m.mu.Unlock()
	answers := make([]string, m.spec.Clients)
	ends := make([]int64, m.spec.Clients)
	var clients sync.WaitGroup
	for i := range answers {
		clients.Go(func() {
			answer, err := m.ask(o.Key)
			if err != nil {
				answer = err.Error()
			}
			answers[i], ends[i] = answer, time.Now().UnixNano()
		})
	}
	clients.Wait()
	t := told{Answer: answers[0]}
	for i, answer := range answers {
		t.Last = max(t.Last, ends[i])
		if answer != t.Answer {
			t.Wrong = answer
		}
	}
	_, err := m.tell(t)
	return err
}

// committing tells when an answer was stored under a lease.
type committing struct {
	*redisstore.Store

	member *fleetMember
}

// SetLocked implements store.Locker.
func (s *committing) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64) (bool, error) {
	began := time.Now().UnixNano()
	ok, err := s.Store.SetLocked(ctx, key, value, ttl, name, fence)
	if ok && err == nil {
		_, err = s.member.tell(told{Committed: began})
	}
	return ok, err
}

package dynamostore_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
)

type (
	request  = http.Request
	response = http.Response
	doer     func(*request) (*response, error)
)

func (d doer) Do(r *request) (*response, error) { return d(r) }

// operations are calls that need the server, each with arguments that work.
func operations(s *dynamostore.Store) map[string]func(context.Context) error {
	large := make([]byte, 1<<20)
	return map[string]func(context.Context) error{
		"Get":       func(ctx context.Context) error { _, err := s.Get(ctx, "key"); return err },
		"Get large": func(ctx context.Context) error { _, err := s.Get(ctx, "large"); return err },
		"Set":       func(ctx context.Context) error { return s.Set(ctx, "key", []byte("value"), time.Hour) },
		"Set large": func(ctx context.Context) error { return s.Set(ctx, "large", large, time.Hour) },
		"Delete":    func(ctx context.Context) error { _, err := s.Delete(ctx, "a", "b", "c", "d"); return err },
		"GetMulti":  func(ctx context.Context) error { _, err := s.GetMulti(ctx, []string{"key", "a", "b"}); return err },
		"Marks":     func(ctx context.Context) error { _, err := s.Marks(ctx, "a", "b"); return err },
		"Raise":     func(ctx context.Context) error { _, err := s.Raise(ctx, "a", "b"); return err },
		"GetMarked": func(ctx context.Context) error { _, _, err := s.GetMarked(ctx, "key", "a", "b"); return err },
		"Lock": func(ctx context.Context) error {
			fence, ok, err := s.Lock(ctx, "name", time.Hour)
			if ok {
				err = s.Unlock(ctx, "name", fence)
			}
			return err
		},
		"SetLocked": func(ctx context.Context) error {
			_, err := s.SetLocked(ctx, "key", []byte("value"), time.Hour, "name", 1)
			return err
		},
	}
}

// TestFaults breaks the connection under every operation: each ends by its deadline with an error, and works again as
// soon as the server does.
func TestFaults(t *testing.T) {
	const (
		deadline = 250 * time.Millisecond
		slack    = 5 * time.Second // of a busy machine; the faults last until every operation has ended
	)
	server := realserver.NewDynamoDB(t)
	proxy := realserver.NewProxy(t, server.Addr())
	cfg := newTable(t, server.Addr())
	answer := "" // what the transport makes up; "": nothing
	cfg.Client = dynamodb.New(client(proxy.Addr()).Options(), func(o *dynamodb.Options) {
		next := o.HTTPClient
		o.HTTPClient = doer(func(r *request) (*response, error) {
			if answer == "" {
				return next.Do(r)
			}
			status, body, _ := strings.Cut(answer, " ")
			resp := &response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
			if status != "200" {
				resp.StatusCode = http.StatusBadRequest
			}
			return resp, nil
		})
	})
	s := open(t, cfg)
	works := func(t *testing.T) {
		t.Helper()
		for what, call := range operations(s) {
			if err := call(t.Context()); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s = %v while nothing is broken", what, err)
			}
		}
	}
	const throttled = `400 {"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`
	for name, breaks := range map[string]func(){
		"refused": proxy.Refuse,
		"hung":    proxy.Hang,
		"slow":    func() { proxy.Latency(10 * time.Second) },
		"reset":   proxy.Reset,
		"cut":     func() { proxy.Cut(20) },
		"stopped": func() {
			server.Pause(t)
			for err := error(nil); err == nil; { // its threads stop one after another
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				_, err = s.Get(ctx, "key")
				cancel()
			}
		},
		"garbage": func() { answer = "200 \x00garbage" },
		"nonsense": func() {
			answer = `200 {"Item": {"pk": 7, "v": {"B": "?"}}, "Attributes": {"n": 0}, "Responses": [], "UnprocessedKeys": 1}`
		},
		"throttled": func() { answer = throttled },
	} {
		t.Run(name, func(t *testing.T) {
			works(t)
			breaks()
			failed, longest := 0, time.Duration(0)
			for what, call := range operations(s) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				begin := time.Now()
				err := call(ctx)
				took := time.Since(begin)
				longest = max(longest, took)
				cancel()
				if err != nil {
					failed++
				}
				// A made-up success is one to an operation that asks for no answer.
				if name != "nonsense" && (err == nil || errors.Is(err, store.ErrNotFound)) {
					t.Errorf("%s = %v; want an error", what, err)
				}
				if took > deadline+slack {
					t.Errorf("%s took %v; want at most %v", what, took, deadline)
				}
				if took >= deadline && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s = %v after %v; want DeadlineExceeded", what, err, took)
				}
			}
			if name == "stopped" {
				server.Continue(t)
			}
			answer = ""
			proxy.Heal()
			begin := time.Now()
			works(t)
			t.Logf("%d of %d operations failed, after %v at most; all worked again after %v",
				failed, len(operations(s)), longest.Round(100*time.Microsecond), time.Since(begin).Round(100*time.Microsecond))
		})
	}
	t.Run("killed", func(t *testing.T) {
		server.Kill()
		for what, call := range operations(s) {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			if err := call(ctx); err == nil {
				t.Errorf("%s = nil; want an error", what)
			}
			cancel()
		}
		server.Restart(t)
		direct := cfg
		direct.Client = client(server.Addr())
		if err := dynamostore.CreateTable(t.Context(), direct); err != nil {
			t.Fatal(err)
		}
		works(t)
	})
}

// TestTimeout: without a deadline of the caller the store's own holds.
func TestTimeout(t *testing.T) {
	proxy := realserver.NewProxy(t, realserver.DynamoDB(t))
	proxy.Hang()
	s := open(t, dynamostore.Config{Client: client(proxy.Addr()), Table: "table", Timeout: 50 * time.Millisecond})
	for what, call := range operations(s) {
		if err := call(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s = %v; want DeadlineExceeded", what, err)
		}
	}
}

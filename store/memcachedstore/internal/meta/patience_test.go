package meta

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// chunk is what a server sends after a pause.
type chunk struct {
	pause time.Duration
	text  string
}

// answer sends chunks when a line has come.
func answer(c net.Conn, chunks []chunk) {
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		return
	}
	for _, x := range chunks {
		time.Sleep(x.pause)
		if _, err := io.WriteString(c, x.text); err != nil {
			return
		}
	}
}

// TestPatience: whatever the pauses, a reply is read whole; an exchange ends with its deadline, or soon after its context was
// cancelled.
func TestPatience(t *testing.T) {
	const (
		long     = 10 * patience
		timeout  = 100 * patience
		deadline = 50 * patience
	)
	https := httptest.NewTLSServer(nil) // has a certificate
	defer https.Close()
	for _, tt := range []struct {
		name   string
		chunks []chunk
		cancel time.Duration // 0: never
		op     Op
		want   error
		took   time.Duration
	}{
		{name: "fast", chunks: []chunk{{0, "VA 3 f0 O1\r\nabc\r\n"}}},
		{name: "slow", chunks: []chunk{{long, "VA 3 f0 O1\r\nabc\r\n"}}, took: long},
		{name: "in pieces", chunks: []chunk{{1, "VA 3 f"}, {long, "0 O1\r\na"}, {long, "bc"}, {long, "\r\n"}}, took: 3*long + 1},
		{name: "never", want: context.DeadlineExceeded, took: deadline},
		{name: "not all of it", chunks: []chunk{{1, "VA 3 f0 O1\r\na"}}, want: context.DeadlineExceeded, took: deadline},
		{name: "cancelled soon", cancel: 1, want: context.Canceled, took: patience},
		{name: "cancelled later", cancel: long, want: context.Canceled, took: long},
		{name: "cancelled halfway", chunks: []chunk{{1, "VA 3 f0 O1\r\na"}}, cancel: long, want: context.Canceled, took: long},
		{name: "a write is cancelled", op: Set, cancel: 1, want: context.Canceled, took: 1},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", tt.name, secure), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dial := func(context.Context, string, string) (net.Conn, error) {
						client, server := net.Pipe()
						if secure {
							client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
							server = tls.Server(server, &tls.Config{Certificates: https.TLS.Certificates})
						}
						go func() {
							answer(server, tt.chunks)
							_, _ = io.Copy(io.Discard, server) // until the client closes it
						}()
						return client, nil
					}
					s := NewServer(Config{Timeout: timeout, MaxIdle: 1, MaxValue: 100, Dial: dial})
					defer s.Close()
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					if tt.cancel > 0 {
						time.AfterFunc(tt.cancel, cancel)
					}
					began := time.Now()
					var replies [1]Reply
					err := s.Do(ctx, []Command{{Op: tt.op, Key: "k"}}, replies[:])
					if took := time.Since(began); !errors.Is(err, tt.want) || took != tt.took {
						t.Fatalf("Do = %v after %v; want %v after %v", err, took, tt.want, tt.took)
					}
					if err == nil && string(replies[0].Value) != "abc" {
						t.Errorf("the value is %q", replies[0].Value)
					}
				})
			})
		}
	}
}

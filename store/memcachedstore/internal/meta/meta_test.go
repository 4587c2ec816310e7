package meta

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// TestReplies gives one answer to a Get of tag 1 and looks at what becomes of it.
func TestReplies(t *testing.T) {
	for _, tt := range []struct {
		name, reply string
		op          Op
		want        Reply
		err         error
	}{
		{"hit", "VA 3 f7 O1\r\nabc\r\n", Get, Reply{Flags: 7, Value: []byte("abc")}, nil},
		{"empty", "VA 0 f0 O1\r\n\r\n", Get, Reply{Value: []byte{}}, nil},
		{"inspected", "VA 1 f0 c18 t-1 O1\r\nx\r\n", Inspect, Reply{Value: []byte("x"), CAS: 18, TTL: -1}, nil},
		{"peeked", "HD f0 c18 t60 O1\r\n", Peek, Reply{CAS: 18, TTL: 60}, nil},
		{"miss", "EN O1\r\n", Get, Reply{Status: Missing}, nil},
		{"miss without tag", "EN\r\n", Get, Reply{Status: Missing}, nil},
		{"unknown flag", "HD x5 O1\r\n", Set, Reply{}, nil},
		{"too large", "SERVER_ERROR object too large for cache\r\n", Set, Reply{}, ErrTooLarge},

		{"another command's", "VA 3 f7 O2\r\nabc\r\n", Get, Reply{}, errGarbled},
		{"another command's miss", "EN O2\r\n", Get, Reply{}, errGarbled},
		{"nobody's", "HD\r\n", Set, Reply{}, errGarbled},
		{"value unasked", "VA 1 O1\r\nx\r\n", Delete, Reply{}, errGarbled},
		{"empty line", "\r\n", Get, Reply{}, errGarbled},
		{"line feed", "\n", Get, Reply{}, errGarbled},
		{"short", "V\r\n", Get, Reply{}, errGarbled},
		{"no size", "VA\r\n", Get, Reply{}, errGarbled},
		{"no number", "VA x O1\r\n", Get, Reply{}, errGarbled},
		{"negative", "VA -1 O1\r\n", Get, Reply{}, errGarbled},
		{"enormous", "VA 4294967295 O1\r\n", Get, Reply{}, errGarbled},
		{"beyond numbers", "VA 99999999999999999999999 O1\r\n", Get, Reply{}, errGarbled},
		{"too long", "VA 101 O1\r\n" + strings.Repeat("x", 101) + "\r\n", Get, Reply{}, errGarbled},
		{"value not ended", "VA 1 O1\r\nxyz", Get, Reply{}, errGarbled},
		{"other protocol", "HTTP/1.1 400 Bad Request\r\n", Get, Reply{}, errGarbled},
		{"endless line", strings.Repeat("x", 20<<10), Get, Reply{}, errGarbled},
		{"old protocol", "END\r\n", Get, Reply{}, errGarbled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Command{Op: tt.op, Key: "k"}
			got, err := c.read(bufio.NewReader(strings.NewReader(tt.reply)), 1, 100)
			if !errors.Is(err, tt.err) {
				t.Fatalf("read = %v; want %v", err, tt.err)
			}
			if err == nil && (got.Status != tt.want.Status || got.Flags != tt.want.Flags || got.CAS != tt.want.CAS ||
				got.TTL != tt.want.TTL || !bytes.Equal(got.Value, tt.want.Value)) {
				t.Errorf("read = %+v; want %+v", got, tt.want)
			}
		})
	}
	c := Command{Op: Get, Key: "k"}
	var refused *Error
	if _, err := c.read(bufio.NewReader(strings.NewReader("ERROR\r\n")), 1, 100); !errors.As(err, &refused) || refused.Text != "ERROR" {
		t.Errorf("read of ERROR = %v; want an Error", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("VA 3 f7 c1 t-1 O1\r\nabc\r\n"), uint8(Inspect))
	f.Add([]byte("EN\r\n"), uint8(Get))
	f.Add([]byte("HD c5 O1\r\n"), uint8(Set))
	f.Add([]byte("CLIENT_ERROR bad\r\n"), uint8(Increment))
	f.Fuzz(func(t *testing.T, in []byte, op uint8) {
		c := Command{Op: Op(op % 6), Key: "k", Into: make([]byte, 3)}
		const most = 1000
		r, err := c.read(bufio.NewReader(bytes.NewReader(in)), 1, most)
		if err == nil && (len(r.Value) > most || r.Status > Changed) {
			t.Errorf("read = %+v", r)
		}
	})
}

// script is a server that gives each connection one of the replies and closes it.
func script(t *testing.T, replies ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, reply := range replies {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				_, _ = c.Write([]byte(reply))
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// TestRepeats: a kept connection that is dead is replaced, a new one is not.
func TestRepeats(t *testing.T) {
	addr := script(t, "EN O1\r\n", "HD O1\r\n", "garbage\r\n")
	s := NewServer(Config{Addr: addr, Timeout: 5 * time.Second, MaxIdle: 2, MaxValue: 100})
	defer s.Close()
	replies := make([]Reply, 1)
	get, set := []Command{{Op: Get, Key: "k"}}, []Command{{Op: Set, Key: "k"}}
	if err := s.Do(context.Background(), get, replies); err != nil || replies[0].Status != Missing {
		t.Fatalf("first Do = %+v, %v; want a miss", replies[0], err)
	}
	if err := s.Do(context.Background(), set, replies); err != nil || replies[0].Status != OK {
		t.Fatalf("Do on a dead connection = %+v, %v; want OK on a new one", replies[0], err)
	}
	if err := s.Do(context.Background(), set, replies); !errors.Is(err, errGarbled) {
		t.Fatalf("Do with garbage for an answer = %v; want errGarbled", err)
	}
	s.Close()
	if err := s.Do(context.Background(), get, replies); !errors.Is(err, ErrClosed) {
		t.Errorf("Do after Close = %v; want ErrClosed", err)
	}
}

// TestSurplus: a connection on which more came than was asked for is not used again.
func TestSurplus(t *testing.T) {
	addr := script(t, "EN O1\r\nVA 1 f0 O2\r\nx\r\n", "EN O1\r\n")
	s := NewServer(Config{Addr: addr, Timeout: 5 * time.Second, MaxIdle: 2, MaxValue: 100})
	defer s.Close()
	replies := make([]Reply, 1)
	for range 2 {
		if err := s.Do(context.Background(), []Command{{Op: Get, Key: "k"}}, replies); err != nil || replies[0].Status != Missing {
			t.Fatalf("Do = %+v, %v; want a miss", replies[0], err)
		}
	}
}

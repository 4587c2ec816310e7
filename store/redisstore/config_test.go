package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store/redisstore"
)

func TestNewReportsEveryMistake(t *testing.T) {
	nobody := rueidis.ClientOption{InitAddress: []string{"localhost:1"}}
	for _, tt := range []struct {
		name string
		cfg  redisstore.Config
		want []string // nil: none
	}{
		{"url", redisstore.Config{URL: "redis://localhost"}, nil},
		{"url_all", redisstore.Config{URL: "rediss://u:p@h:1/2?addr=h:2&dial_timeout=1s&write_timeout=2s&skip_verify&client_name=n&protocol=3"}, nil},
		{"valkey", redisstore.Config{URL: "valkey://h"}, nil},
		{"sentinel", redisstore.Config{URL: "redis://h:26379?addr=h2:26379&master_set=m"}, nil},
		{"unix", redisstore.Config{URL: "unix:///run/redis.sock?db=1"}, nil},
		{"options", redisstore.Config{Options: nobody}, nil},
		{"prefix", redisstore.Config{Options: nobody, Prefix: "shop|*:"}, nil},

		{"zero", redisstore.Config{}, []string{"names no server", "set URL"}},
		{"two_servers", redisstore.Config{URL: "redis://h", Options: nobody}, []string{"more than once", "URL, Options"}},
		{"url_and_option", redisstore.Config{URL: "redis://h", Options: rueidis.ClientOption{ClientName: "n"}}, []string{"more than once", "Options.InitAddress"}},
		{"replicas", redisstore.Config{Options: rueidis.ClientOption{InitAddress: nobody.InitAddress, ReplicaOnly: true}}, []string{"ReplicaOnly"}},
		{"scheme", redisstore.Config{URL: "http://h"}, []string{`"http://h"`, "scheme", "redis://user"}},
		{"database", redisstore.Config{URL: "redis://h/x"}, []string{"database number"}},
		{"parameter", redisstore.Config{URL: "redis://h?max_retries=3&Db=1"}, []string{`"max_retries"`, `"Db"`, "master_set"}},
		{"query", redisstore.Config{URL: "redis://h?a;b"}, []string{"semicolon"}},
		{"duration", redisstore.Config{URL: "redis://h?dial_timeout=1"}, []string{"dial timeout"}},
		{"unix_without_path", redisstore.Config{URL: "unix://"}, []string{"no path"}},
		{"prefix_space", redisstore.Config{Options: nobody, Prefix: "a b"}, []string{`Prefix "a b"`, "' '", "printable ASCII"}},
		{"prefix_brace", redisstore.Config{Options: nobody, Prefix: "{a}"}, []string{"braces"}},
		{"prefix_long", redisstore.Config{Options: nobody, Prefix: strings.Repeat("x", 65)}, []string{"65 bytes", "at most 64"}},
		{"several", redisstore.Config{URL: "ftp://h", Prefix: "ä"}, []string{"scheme", "Prefix"}},
		{"several_more", redisstore.Config{Prefix: " "}, []string{"names no server", "Prefix"}},
		{"secret", redisstore.Config{URL: "redis://user:geheim@h/x?y=1"}, []string{"user:xxxxx@h", `"y"`}},
		{"secret_no_path", redisstore.Config{URL: "unix://user:geheim@"}, []string{"user:xxxxx@", "no path"}},
		{"secret_unparsable", redisstore.Config{URL: "redis://user:geheim@h:port"}, []string{"not one"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := redisstore.New(tt.cfg)
			if tt.want == nil {
				if err != nil {
					t.Fatalf("New = %v; want nil", err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close of a store that was not used = %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("New = nil; want an error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("New = %v; want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Errorf("New = %v; shows the password", err)
			}
		})
	}
}

// What is not the store's stays, whatever is cleared.
func TestNeighbours(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	cfg := redisstore.Config{URL: "redis://" + addr, Prefix: prefix}
	s := open(t, cfg)
	neighbours := []string{prefix, prefix + "key", prefix + "{key}", prefix + "x{:key}", "x" + prefix + "{:key}"}
	for _, key := range neighbours {
		do(t, addr, "SET", key, "neighbour")
	}
	set(t, s, "key", time.Hour)
	n := raise(t, s, "name")
	fence, _, err := s.Lock(t.Context(), "lease", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for key, err := range s.Keys(t.Context(), "") {
		if key != "key" || err != nil {
			t.Errorf("Keys yields %q, %v; want key alone", key, err)
		}
	}
	if n, err := s.Clear(t.Context(), ""); n != 1 || err != nil {
		t.Errorf("Clear = %d, %v; want 1", n, err)
	}
	for _, key := range neighbours {
		if got := do(t, addr, "GET", key); got != "neighbour" {
			t.Errorf("%s = %q after Clear; want it untouched", key, got)
		}
	}
	if m := marks(t, s, "name"); m.Slots[0] != n {
		t.Errorf("the mark is %d after Clear; want %d", m.Slots[0], n)
	}
	if ok, err := s.Renew(t.Context(), "lease", fence, time.Hour); !ok || err != nil {
		t.Errorf("Renew after Clear = %v, %v; want true", ok, err)
	}
}

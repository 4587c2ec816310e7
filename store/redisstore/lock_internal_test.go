package redisstore

import (
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/internal/realserver"
)

// What is written to another node than the lease's has to come there while the guard keeps others from being granted the lease.
func TestGuardedWriteInTime(t *testing.T) {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{realserver.Redis(t)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	script := newLeaseScripts().setGuarded
	for _, tt := range []struct {
		by   time.Duration
		want int64
	}{{time.Hour, 1}, {-time.Second, 0}} {
		by := decimal(time.Duration(time.Now().Add(tt.by).UnixNano()))
		if n, err := script.Exec(t.Context(), c, []string{"TestGuardedWriteInTime"}, []string{by, "v", "PX", "1"}).AsInt64(); err != nil || n != tt.want {
			t.Errorf("a write by %v from now = %d, %v; want %d", tt.by, n, err, tt.want)
		}
	}
}

package redisstore

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// A lane that the server tracks need not read the marks with every value. The server remembers that marks were read on the
// connection, and announces on the same connection when they change, once, before the reply to any command that it executes
// later. So a reply that comes while nothing was announced since the marks were read proves that they still were the
// same when the command was executed: rueidis hands announcements over on the goroutine that reads replies, in the order
// in which both come.
//
// Tracking is opt-in, or the server would announce changes of every value that was read as well. It is begun when calls
// have met on the lane: a connection on which they never did is served by rueidis without goroutines, which costs less
// than the marks do, and drops announcements.
//
// This holds for the servers' default mode. In broadcasting mode they collect what they announce for a while, and send it
// after replies to commands that came later.

const (
	// verifyAfter is how often a look-up on a tracked lane reads the marks all the same. It makes the server see that
	// they are in use, which else would evict them as idle before the values; and it bounds for how long a change would go
	// unnoticed that is not announced: of what Redis and Valkey do, SWAPDB alone.
	verifyAfter = time.Second
	// followPause is the time between two attempts to have a lane tracked of which the first came to no result.
	followPause = time.Second
)

// follow has the server announce changes of the marks on l, if it can. Who calls it waits for two more round trips.
func (l *lane) follow(ctx context.Context) {
	asked, now := l.asked.Load(), time.Now().UnixNano()
	if now-asked < int64(followPause) || !l.asked.CompareAndSwap(asked, now) {
		return
	}
	// Without a deadline rueidis hands commands to its goroutines, which read announcements for good from then on.
	ctx = undated{ctx}
	if err := track(ctx, l, "OPTIN"); err != nil {
		if errors.Is(err, errRefused) {
			l.asked.Store(math.MaxInt64) // never again
		}
		return
	}
	var announced atomic.Bool
	l.SetOnInvalidations(func([]rueidis.RedisMessage) { // of the marks, of everything, or the end of the connection
		announced.Store(true)
		l.forget()
	})
	// What stands between may accept tracking and keep announcements to itself: it is believed once one has come.
	replies := l.DoMulti(ctx,
		l.B().ClientCaching().Yes().Build(),
		l.B().Exists().Key(l.key).Build(),
		l.B().Eval().Script(touchScript).Numkeys(1).Key(l.key).Build(),
		l.B().Exists().Key(l.key).Build())
	if touched, err := replies[2].AsInt64(); err != nil || touched == 0 || replies[3].Error() != nil {
		return
	}
	l.asked.Store(math.MaxInt64)
	if announced.Load() {
		l.known.Store(new(known))
	}
}

// ordered reports whether a server whose INFO that is announces a change before it replies to what it executes later. Dragonfly and KeyDB
// execute commands in several threads.
func ordered(info string) bool {
	return infoField(info, "dragonfly_version") == "" && !strings.Contains(infoField(info, "executable"), "keydb")
}

// touchScript makes a change of the marks that is none, and returns whether there are any. A number must not be issued:
// the tags of all entries from before would be read with every hit. KEYS: marks.
const touchScript = `
local touched = redis.call('PEXPIRE', KEYS[1], 3600000)
redis.call('PERSIST', KEYS[1])
return touched
`

// forget gives up what is known of the marks. The server tracks them again from the next time they are read.
func (l *lane) forget() {
	if l.known.Load() != nil {
		l.known.Store(new(known))
	}
}

// due reports whether the marks were last read so long ago that they should be read again. It tells one caller.
func (l *lane) due() bool {
	last, now := l.verified.Load(), time.Now().UnixNano()
	return now-last >= int64(verifyAfter) && l.verified.CompareAndSwap(last, now)
}

// undated is a context that ends when it would, without telling beforehand.
type undated struct{ context.Context }

// Deadline implements [context.Context].
func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Who asks for a stored answer and does not read it is cut off as one who asks for nothing; who reads slowly gets all of it.
func TestSlowReaderOfHit(t *testing.T) {
	const size = 1 << 20
	for _, warm := range []bool{true, false} {
		for _, pause := range []time.Duration{time.Minute, 3 * time.Minute} {
			t.Run(fmt.Sprintf("warm=%v/pause=%v", warm, pause), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Cache-Control", "max-age=3600")
						_, _ = w.Write(make([]byte, size))
					}, nil)
					v := s.visit()
					defer v.Close()
					v.ask(t, "GET /"+hostLine+"\r\n")
					synctest.Wait()
					if !warm {
						v = s.visit()
						defer v.Close()
					}
					go func() { _, _ = io.WriteString(v.Conn, "GET /"+hostLine+"\r\n") }()
					read := 0
					for p := make([]byte, 100<<10); ; {
						time.Sleep(pause)
						n, err := io.ReadFull(v.Conn, p)
						if read += n; err != nil {
							break
						}
					}
					if whole := read > size; whole != (pause < s.cfg.IdleTimeout) {
						t.Errorf("with pauses of %v %d bytes came of %d", pause, read, size)
					}
				})
			})
		}
	}
}

// What has switched protocols, or waits for its next event, may take its time.
func TestNoHurry(t *testing.T) {
	for _, path := range []string{"/upgraded", "/events"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				var out io.Writer = w
				flush := rc.Flush
				if r.URL.Path == "/upgraded" {
					c, buffered, err := rc.Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					_, _ = io.WriteString(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
					out, flush = c, buffered.Flush
				} else {
					w.Header().Set("Content-Type", "text/event-stream")
				}
				_ = flush()
				for range 3 {
					time.Sleep(time.Hour)
					if _, err := io.Copy(out, strings.NewReader("event\n")); err != nil {
						t.Error(err)
					}
					_ = flush()
				}
			}, nil)
			v := s.visit()
			defer v.Close()
			go func() {
				_, _ = io.WriteString(v.Conn, "GET "+path+hostLine+"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			}()
			for events := 0; events < 3; {
				line, err := v.ReadString('\n')
				if err != nil {
					t.Fatalf("%s: after %d of 3 events: %v", path, events, err)
				}
				if line == "event\n" {
					events++
				}
			}
		})
	}
}

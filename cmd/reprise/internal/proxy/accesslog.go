package proxy

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// logged writes a line for each request that next has answered. The query is not in it: that is where tokens are.
func logged(log *slog.Logger, next http.Handler) http.Handler {
	if log == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		lw := &logWriter{ResponseWriter: w}
		client, method, host, path, proto := peer(r.RemoteAddr), r.Method, r.Host, r.URL.Path, r.Proto
		ended := false
		defer func() {
			log.LogAttrs(r.Context(), slog.LevelInfo, "request",
				slog.String("client", client),
				slog.String("method", short(method)),
				slog.String("host", short(host)),
				slog.String("path", path[:min(len(path), 1<<10)]),
				slog.String("proto", proto),
				slog.Int("status", lw.status),
				slog.Int64("bytes", lw.bytes),
				slog.Duration("took", time.Since(start)),
				slog.String("cache", outcome(lw.Header())),
				slog.Bool("aborted", !ended),
			)
		}()
		next.ServeHTTP(lw, r)
		ended = true
	})
}

// outcome is what the proxy's own member of Cache-Status says, without the name: other caches stand before it.
func outcome(h http.Header) string {
	lines := h["Cache-Status"]
	if len(lines) == 0 {
		return ""
	}
	_, params, _ := strings.Cut(lines[len(lines)-1], "; ")
	return params
}

// logWriter counts what goes through it.
type logWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (w *logWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *logWriter) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Hijack takes note of a switch of protocols, whose 101 does not come through here.
func (w *logWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.status == 0 {
		w.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

func (w *logWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

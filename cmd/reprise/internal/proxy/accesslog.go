package proxy

import (
	"bufio"
	"context"
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
		e, lw, ended := newLogEntry(r), &logWriter{ResponseWriter: w}, false
		defer func() { e.write(r.Context(), log, lw.status, lw.bytes, lw.Header(), ended) }()
		next.ServeHTTP(lw, r)
		ended = true
	})
}

// logEntry is what a line says of a request, as it came.
type logEntry struct {
	start                             time.Time
	client, method, host, path, proto string
}

func newLogEntry(r *http.Request) logEntry {
	return logEntry{time.Now(), peer(r.RemoteAddr), r.Method, r.Host, r.URL.Path, r.Proto}
}

// write writes the line when the request has been answered.
func (e *logEntry) write(ctx context.Context, log *slog.Logger, status int, bytes int64, answer http.Header, ended bool) {
	log.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("client", e.client),
		slog.String("method", short(e.method)),
		slog.String("host", short(e.host)),
		slog.String("path", e.path[:min(len(e.path), 1<<10)]),
		slog.String("proto", e.proto),
		slog.Int("status", status),
		slog.Int64("bytes", bytes),
		slog.Duration("took", time.Since(e.start)),
		slog.String("cache", outcome(answer)),
		slog.Bool("aborted", !ended),
	)
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

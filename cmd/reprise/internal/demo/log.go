package demo

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// logLines keeps what reprise logs until it is shown. It is safe for concurrent use.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

// maxLogLines bounds what is kept while nobody takes it.
const maxLogLines = 100

// logger returns a logger whose lines, without their time, l keeps.
func (l *logLines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// Write takes one line.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < maxLogLines {
		l.lines = append(l.lines, "log: "+strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// take returns the lines and forgets them.
func (l *logLines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func (l *logLines) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, part) })
}

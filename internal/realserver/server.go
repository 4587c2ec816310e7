package realserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout  = 20 * time.Second // for one attempt; a JVM on a busy machine needs several seconds
	startAttempts = 5                // each on another port: a free port may be taken before the server binds it
	pollInterval  = 2 * time.Millisecond
)

// Command says how to start a server.
type Command struct {
	// Name is the program, looked up in PATH unless it has a slash.
	Name string
	// Remedy tells who lacks the program how to install it; "" is `make test`.
	Remedy string
	// Args returns the arguments for a server that listens on port of 127.0.0.1 and works in dir.
	Args func(port int, dir string) []string
	// Ready returns nil when the server at addr answers in its own protocol and is the process pid: another
	// process may have taken the port. It is called again until it returns nil.
	Ready func(addr string, pid int) error
	// Files has what is written into dir before the server starts, unless it is there, by name.
	Files map[string]string
	// Port reports whether the server can use a port that is free; nil: any.
	Port func(port int) bool
}

// Server is a running server. Its methods are for the test that started it and not safe for concurrent use.
type Server struct {
	command Command
	program string
	port    int
	dir     string
	process *process
}

// Start starts a server for this test alone. It ends with the test.
func Start(t testing.TB, c Command) *Server {
	t.Helper()
	s, err := launch(c)
	check(t, err)
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(s.dir); err != nil {
			t.Errorf("realserver: %v", err)
		}
	})
	return s
}

// Addr returns the server's host:port, which stays the same for its whole life.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Dir returns the server's directory. Its output is in the file "log" there.
func (s *Server) Dir() string { return s.dir }

// Pid returns the number of the server's process; 0 while it does not run.
func (s *Server) Pid() int {
	if s.process == nil {
		return 0
	}
	return s.process.pid
}

// Pause stops the process without ending it: connections stay open and nobody answers. [Server.Continue] undoes it.
func (s *Server) Pause(t testing.TB) { t.Helper(); s.signal(t, sigStop) }

// Continue lets a paused process run again.
func (s *Server) Continue(t testing.TB) { t.Helper(); s.signal(t, sigContinue) }

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if s.process == nil {
		t.Fatalf("realserver: %s does not run", s.command.Name)
	}
	if err := s.process.signal(sig); err != nil {
		t.Fatalf("realserver: signal %v to %s: %v", sig, s.command.Name, err)
	}
}

// Kill ends the process as a crash would (SIGKILL) and returns when it is gone. Killing it twice is no error.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// Restart kills the process if it runs and starts it again on the same port, with the files that it left behind.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	deadline := time.Now().Add(startTimeout)
	for {
		err := s.run()
		if err == nil {
			return
		}
		// The port was free a moment ago: connections of the predecessor may still hold it.
		if time.Now().After(deadline) {
			t.Fatalf("realserver: restart: %v", err)
		}
		time.Sleep(pollInterval)
	}
}

// RestartEmpty is [Server.Restart] without the files.
func (s *Server) RestartEmpty(t testing.TB) {
	t.Helper()
	s.Kill()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatalf("realserver: %v", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			t.Fatalf("realserver: %v", err)
		}
	}
	s.Restart(t)
}

// launch starts a server that nobody stops but its killer or the end of this process.
func launch(c Command) (*Server, error) {
	if !supported {
		return nil, &missingError{what: "a Linux system", remedy: "run the tests in a Linux container"}
	}
	program, err := exec.LookPath(c.Name)
	if err != nil {
		return nil, &missingError{what: c.Name, remedy: c.Remedy}
	}
	sweep()
	var errs []error
	for range startAttempts {
		s := &Server{command: c, program: program}
		if s.port, err = freePort(c.Port); err != nil {
			return nil, err
		}
		if s.dir, err = os.MkdirTemp("", dirPrefix+strconv.Itoa(os.Getpid())+"-"); err != nil {
			return nil, fmt.Errorf("realserver: %w", err)
		}
		if err = s.run(); err == nil {
			return s, nil
		}
		errs = append(errs, err)
		if err := os.RemoveAll(s.dir); err != nil {
			errs = append(errs, err)
		}
	}
	return nil, errors.Join(errs...)
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	for name, content := range s.command.Files {
		path := filepath.Join(s.dir, name)
		if _, err := os.Stat(path); err == nil {
			continue // the server may have changed it
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("realserver: %w", err)
		}
	}
	logFile, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("realserver: %w", err)
	}
	defer logFile.Close() // the process has its own descriptor
	cmd := exec.Command(s.program, s.command.Args(s.port, s.dir)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, logFile, logFile
	p, err := startProcess(cmd)
	if err != nil {
		return fmt.Errorf("realserver: start %s: %w", s.command.Name, err)
	}
	deadline := time.Now().Add(startTimeout)
	for {
		err := s.command.Ready(s.Addr(), p.pid)
		if err == nil {
			s.process = p
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("realserver: %s on port %d ended at once:\n%s", s.command.Name, s.port, s.log())
		case <-time.After(pollInterval):
		}
		if time.Now().After(deadline) {
			p.kill()
			return fmt.Errorf("realserver: %s on port %d is not ready after %v: %w\n%s", s.command.Name, s.port, startTimeout, err, s.log())
		}
	}
}

// log returns the last lines that the server wrote.
func (s *Server) log() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	const most = 4 << 10
	return string(b[max(0, len(b)-most):])
}

// freePort returns a port of 127.0.0.1 that nobody listens on and that ok accepts.
func freePort(ok func(int) bool) (int, error) {
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("realserver: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("realserver: %w", err)
		}
		if ok == nil || ok(port) {
			return port, nil
		}
	}
	return 0, errors.New("realserver: no suitable port is free")
}

const dirPrefix = "reprise-realserver-"

// sweep removes the directories of test binaries that are gone. Shared servers end with their binary, when nothing
// is left that could remove theirs.
var sweep = sync.OnceFunc(func() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		if pid, err := strconv.Atoi(owner); err == nil && !alive(pid) {
			_ = os.RemoveAll(dir) // what another user owns stays
		}
	}
})

// missingError says that a server cannot run here.
type missingError struct{ what, remedy string }

func (e *missingError) Error() string {
	remedy := e.remedy
	if remedy == "" {
		remedy = "`make test` installs it"
	}
	return "needs " + e.what + ": " + remedy
}

// check ends the test if err is not nil: skipped if something is missing that need not be there.
func check(t testing.TB, err error) {
	t.Helper()
	var missing *missingError
	switch {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv("REPRISE_TEST_SERVERS") != "required":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

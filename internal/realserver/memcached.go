package realserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var sharedMemcached = sync.OnceValues(func() ([2]*Server, error) {
	first, err := launch(memcachedCommand())
	if err != nil {
		return [2]*Server{}, err
	}
	second, err := launch(memcachedCommand())
	return [2]*Server{first, second}, err
})

// Memcached returns the addresses of the two Memcached servers that the tests of this binary share.
func Memcached(t testing.TB) (addr1, addr2 string) {
	t.Helper()
	s, err := sharedMemcached()
	check(t, err)
	return s[0].Addr(), s[1].Addr()
}

// NewMemcached starts a Memcached server for this test alone, with further arguments such as "-I", "4m".
func NewMemcached(t testing.TB, args ...string) *Server {
	t.Helper()
	return Start(t, memcachedCommand(args...))
}

func memcachedCommand(args ...string) Command {
	return Command{
		Name: "memcached",
		Args: func(port int, _ string) []string {
			a := []string{"-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "0", "-m", "64"}
			if os.Geteuid() == 0 {
				a = append(a, "-u", "root") // it does not start as root without being told
			}
			return append(a, args...)
		},
		Ready: func(addr string, pid int) error {
			const timeout = 5 * time.Second
			c, err := net.DialTimeout("tcp", addr, timeout)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
				return err
			}
			if _, err := io.WriteString(c, "stats\r\n"); err != nil {
				return err
			}
			// The process number is the first of the lines.
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				return err
			}
			if strings.TrimSpace(line) != "STAT pid "+strconv.Itoa(pid) {
				return fmt.Errorf("another process listens on %s", addr)
			}
			return nil
		},
	}
}

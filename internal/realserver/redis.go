package realserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	sharedRedis   = sync.OnceValues(func() (*Server, error) { return launch(redisCommand()) })
	sharedCluster = sync.OnceValues(launchCluster)
)

// Redis returns the address of the Redis server that the tests of this binary share. It keeps nothing on disk.
func Redis(t testing.TB) string {
	t.Helper()
	s, err := sharedRedis()
	check(t, err)
	return s.Addr()
}

// NewRedis starts a Redis server for this test alone, with further arguments such as "--maxmemory", "10mb". It keeps
// nothing on disk unless they say so.
func NewRedis(t testing.TB, args ...string) *Server {
	t.Helper()
	return Start(t, redisCommand(args...))
}

// RedisCluster returns the addresses of the three masters of the Redis Cluster that the tests of this binary share.
func RedisCluster(t testing.TB) []string {
	t.Helper()
	nodes, err := sharedCluster()
	check(t, err)
	addrs := make([]string, len(nodes))
	for i, n := range nodes {
		addrs[i] = n.Addr()
	}
	return addrs
}

// NewRedisCluster starts a Redis Cluster of three masters for this test alone. The slots of a master that is down
// are refused, the others keep working.
func NewRedisCluster(t testing.TB) []*Server {
	t.Helper()
	nodes := make([]*Server, clusterNodes)
	for i := range nodes {
		nodes[i] = Start(t, clusterCommand())
	}
	if err := joinCluster(nodes); err != nil {
		t.Fatal(err)
	}
	return nodes
}

// NewRedisSentinel starts a sentinel, for this test alone, that watches master under the name "reprise".
func NewRedisSentinel(t testing.TB, master *Server) *Server {
	t.Helper()
	const file = "sentinel.conf" // it must have one, and keeps in it what it learns
	c := redisCommand()
	c.Args = func(port int, dir string) []string {
		return []string{filepath.Join(dir, file), "--sentinel", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir}
	}
	c.Files = map[string]string{file: fmt.Sprintf("sentinel monitor reprise 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds reprise 500\nsentinel failover-timeout reprise 3000\n", master.port)}
	return Start(t, c)
}

func redisCommand(args ...string) Command {
	return Command{
		Name: "redis-server",
		Args: func(port int, dir string) []string {
			return append([]string{
				"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
				"--save", "", "--appendonly", "no", "--daemonize", "no",
			}, args...)
		},
		Ready: func(addr string, pid int) error {
			info, err := RedisDo(addr, "INFO", "server")
			if err != nil {
				return err
			}
			if !strings.Contains(info, "process_id:"+strconv.Itoa(pid)+"\r\n") {
				return fmt.Errorf("another process listens on %s", addr)
			}
			_, err = RedisDo(addr, "PING") // unlike INFO it is refused while data is loaded
			return err
		},
	}
}

const (
	clusterNodes = 3
	clusterSlots = 16384
	busOffset    = 10000 // a node's bus listens on its port plus this
)

func clusterCommand() Command {
	c := redisCommand("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
		"--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
	c.Port = func(port int) bool {
		if port+busOffset > 65535 {
			return false
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+busOffset)))
		return err == nil && l.Close() == nil
	}
	return c
}

func launchCluster() ([]*Server, error) {
	nodes := make([]*Server, clusterNodes)
	for i := range nodes {
		var err error
		if nodes[i], err = launch(clusterCommand()); err != nil {
			return nil, err
		}
	}
	return nodes, joinCluster(nodes)
}

// joinCluster gives each node its third of the slots and waits until all of them know it.
func joinCluster(nodes []*Server) error {
	for i, n := range nodes {
		first, last := i*clusterSlots/len(nodes), (i+1)*clusterSlots/len(nodes)-1
		slots := []string{"CLUSTER", "ADDSLOTS"} // Redis 6 knows no ranges
		for slot := first; slot <= last; slot++ {
			slots = append(slots, strconv.Itoa(slot))
		}
		for _, command := range [][]string{slots, {"CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i + 1)}} {
			if _, err := RedisDo(n.Addr(), command...); err != nil {
				return fmt.Errorf("realserver: %s: %w", strings.Join(command[:2], " "), err)
			}
		}
	}
	for _, n := range nodes {
		for _, peer := range nodes {
			if _, err := RedisDo(n.Addr(), "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(peer.port)); err != nil {
				return fmt.Errorf("realserver: CLUSTER MEET: %w", err)
			}
		}
	}
	deadline := time.Now().Add(startTimeout)
	for {
		err := clusterReady(nodes)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("realserver: the cluster is not ready after %v: %w", startTimeout, err)
		}
		time.Sleep(10 * pollInterval)
	}
}

func clusterReady(nodes []*Server) error {
	for _, n := range nodes {
		info, err := RedisDo(n.Addr(), "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		for _, want := range []string{
			"cluster_state:ok\r\n",
			"cluster_slots_ok:" + strconv.Itoa(clusterSlots) + "\r\n",
			"cluster_known_nodes:" + strconv.Itoa(len(nodes)) + "\r\n",
		} {
			if !strings.Contains(info, want) {
				return fmt.Errorf("%s lacks %q", n.Addr(), want)
			}
		}
	}
	return nil
}

// RedisDo sends one command to the Redis server at addr on a connection of its own and returns the reply, which is
// not an array, as text. It is for what a test does behind the back of the client under test.
func RedisDo(addr string, args ...string) (string, error) {
	const timeout = 5 * time.Second
	c, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("empty reply")
	}
	switch kind, rest := line[0], line[1:]; kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", errors.New(rest)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", err
		}
		body := make([]byte, n)
		_, err = io.ReadFull(r, body)
		return string(body), err
	default:
		return "", fmt.Errorf("reply of unexpected kind %q", line)
	}
}

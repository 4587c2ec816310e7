package realserver

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// dynamoDBVersion is that of tools/dynamodb/pom.xml.
const dynamoDBVersion = "2.6.1"

var sharedDynamoDB = sync.OnceValues(func() (*Server, error) {
	c, err := dynamoDBCommand()
	if err != nil {
		return nil, err
	}
	return launch(c)
})

// DynamoDB returns the address of the DynamoDB Local that the tests of this binary share. It takes any credentials and
// keeps the tables of each access key and region apart. Unlike the other servers it listens on every address of the
// machine, and cannot be told not to.
func DynamoDB(t testing.TB) (addr string) {
	t.Helper()
	s, err := sharedDynamoDB()
	check(t, err)
	return s.Addr()
}

// NewDynamoDB starts a DynamoDB Local for this test alone. Its tables are in memory: a restart loses them.
func NewDynamoDB(t testing.TB) *Server {
	t.Helper()
	c, err := dynamoDBCommand()
	check(t, err)
	return Start(t, c)
}

func dynamoDBCommand() (Command, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Command{}, fmt.Errorf("realserver: %w", err)
	}
	lib := filepath.Join(cache, "reprise", "dynamodb-local-"+dynamoDBVersion)
	const remedy = "scripts/dynamodb.sh installs it"
	if _, err := os.Stat(lib); err != nil {
		return Command{}, &missingError{what: "DynamoDB Local " + dynamoDBVersion, remedy: remedy}
	}
	return Command{
		Name:   "java",
		Remedy: remedy,
		Args: func(port int, dir string) []string {
			return []string{
				"-Djava.io.tmpdir=" + dir,                                 // where it leaves a copy of its library when it is killed
				"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // it starts in half the time
				"-Djava.library.path=" + lib, "-cp", filepath.Join(lib, "*"),
				"com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
				"-inMemory", "-disableTelemetry", "-port", strconv.Itoa(port),
			}
		},
		Ready: func(addr string, pid int) error {
			client := http.Client{Timeout: 5 * time.Second}
			resp, err := client.Get("http://" + addr + "/")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.Header.Get("X-Amzn-Requestid") == "" || !listens(pid, addr) {
				return fmt.Errorf("another process listens on %s", addr)
			}
			return nil
		},
	}, nil
}

// listens reports whether the process pid has a socket that listens on the port of addr. DynamoDB Local does not tell
// its number, so the system is asked.
func listens(pid int, addr string) bool {
	_, text, _ := strings.Cut(addr, ":")
	port, err := strconv.Atoi(text)
	if err != nil {
		return false
	}
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
			const listening = "0A"
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
		_ = f.Close()
	}
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, fd := range open {
		if target, err := os.Readlink(fd); err == nil && inodes[target] {
			return true
		}
	}
	return false
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
)

var (
	suite          = flag.String("suite", "", "checkout of github.com/http-tests/cache-tests, with its npm packages, for TestConformance")
	conformanceOut = flag.String("conformance-out", "", "file that TestConformance writes")
)

// conformanceRuns is how often each configuration meets the suite. A test counts as passed if it does in most runs: an invalidation
// of something else that shares a slot of marks with what a test has stored makes it fail in one of them.
const conformanceRuns = 3

// conformanceModes are the configurations that are scored.
var conformanceModes = []struct {
	name, text string
	args       []string
	reasons    map[string]string
}{
	{
		"letter", "RFC 9111 to the letter: `--allow-set-cookie --allow-cookies`",
		[]string{"--allow-set-cookie", "--allow-cookies"},
		map[string]string{
			"conditional-lm-fresh-no-lm": "the suite wants 304 for an If-Modified-Since that is 50 minutes older than the response, which has no Last-Modified; RFC 9111 §4.3.2 has a cache compare with Date then, and by that the response is newer than what the client has",
		},
	},
	{
		"safe", "The proxy's defaults",
		nil,
		map[string]string{
			"headers-store-Set-Cookie":  "responses with Set-Cookie are not stored: everybody would get the first visitor's cookie",
			"headers-store-Set-Cookie2": "as Set-Cookie",
			"other-set-cookie":          "responses with Set-Cookie are not stored",
			"other-cookie":              "a request with Cookie is not answered from what is shared, unless the response says public or s-maxage",
		},
	},
}

// suiteTest is one test of the suite.
type suiteTest struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Kind      string   `json:"kind"` // "" is required
	DependsOn []string `json:"depends_on"`
	Browser   bool     `json:"browser_only"`
}

// conformance is what one configuration does with the suite.
type conformance struct {
	mode, store string
	runs        []map[string]json.RawMessage
}

// TestConformance runs the public HTTP cache test suite against the proxy. See scripts/conformance.sh.
func TestConformance(t *testing.T) {
	if *suite == "" {
		t.Skip("no -suite; make conformance runs it")
	}
	dir, err := filepath.Abs(*suite)
	if err != nil {
		t.Fatal(err)
	}
	tests := suiteTests(t, dir)
	var all []*conformance
	for _, mode := range conformanceModes { // all at once would be more than a small machine has time for
		var wg sync.WaitGroup
		for _, s := range []struct{ name, url string }{
			{"memory", "memory://"},
			{"redis", "redis://" + realserver.NewRedis(t).Addr()},
			{"files", "file://" + t.TempDir()},
		} {
			c := &conformance{mode: mode.name, store: s.name}
			all = append(all, c)
			wg.Go(func() {
				for range conformanceRuns {
					if r := runSuite(t, dir, append([]string{"--store", s.url}, mode.args...)); r != nil {
						c.runs = append(c.runs, r)
					}
				}
			})
		}
		wg.Wait()
	}
	if t.Failed() {
		return
	}
	page := conformancePage(t, suiteCommit(t, dir), tests, all)
	if *conformanceOut != "" {
		if err := os.WriteFile(*conformanceOut, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// node runs a program of the suite and returns what it prints.
func node(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"--no-warnings"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("node %s: %v\n%s", args, err, stderr.String())
	}
	return out
}

func suiteTests(t *testing.T, dir string) map[string]suiteTest {
	t.Helper()
	var groups []struct {
		Tests []suiteTest `json:"tests"`
	}
	const program = `import tests from "./tests/index.mjs"; console.log(JSON.stringify(tests))`
	if err := json.Unmarshal(node(t, dir, nil, "--input-type=module", "-e", program), &groups); err != nil {
		t.Fatalf("the suite's tests: %v", err)
	}
	tests := make(map[string]suiteTest)
	for _, g := range groups {
		for _, test := range g.Tests {
			if test.Browser {
				continue
			}
			if test.Kind == "" {
				test.Kind = "required"
			}
			tests[test.ID] = test
		}
	}
	return tests
}

func suiteCommit(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "log", "-1", "--format=%h of %cs").Output()
	if err != nil {
		t.Fatalf("the suite is no checkout: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// runSuite runs the suite's server, a proxy before it and the suite's client, and returns the results by test.
func runSuite(t *testing.T, dir string, args []string) map[string]json.RawMessage {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	serverPort, front := freePort(t), "127.0.0.1:"+freePort(t)
	env := []string{
		"npm_config_protocol=http", "npm_config_port=" + serverPort, "npm_config_pidfile=" + filepath.Join(t.TempDir(), "pid"),
		"npm_config_base=http://" + front, "npm_config_id=", "npm_package_config_id=",
	}
	server := exec.CommandContext(ctx, "node", "test-engine/server/server.mjs")
	server.Dir, server.Env = dir, append(os.Environ(), env...)
	if err := server.Start(); err != nil {
		t.Errorf("the suite's server: %v", err)
		return nil
	}
	defer func() { cancel(); _ = server.Wait() }()

	var out, errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"proxy", "--origin", "http://127.0.0.1:" + serverPort, "--listen", front, "--admin", "", "--access-log", "off", "--store-timeout", "5s"}, args...), &out, &errs)
	}()
	defer func() { cancel(); <-ended }()
	if !reachable(ctx, "http://"+front+"/") {
		t.Errorf("the proxy does not serve: %s", &errs)
		return nil
	}
	var results map[string]json.RawMessage
	if err := json.Unmarshal(node(t, dir, env, "test-engine/cli.mjs"), &results); err != nil {
		t.Errorf("the suite's results: %v", err)
		return nil
	}
	return results
}

func freePort(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// reachable waits until url is answered by something better than 502.
func reachable(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false
		}
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusBadGateway {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// passed reports whether a test and all that it depends on passed, as the suite counts.
func passed(tests map[string]suiteTest, results map[string]json.RawMessage, id string) bool {
	for _, on := range tests[id].DependsOn {
		if !passed(tests, results, on) {
			return false
		}
	}
	return string(results[id]) == "true"
}

// failures counts the runs in which a test, or one that it depends on, did not pass.
func (c *conformance) failures(tests map[string]suiteTest, id string) (n int) {
	for _, r := range c.runs {
		if !passed(tests, r, id) {
			n++
		}
	}
	return n
}

// lost reports whether a test did not pass in most runs.
func (c *conformance) lost(tests map[string]suiteTest, id string) bool {
	return 2*c.failures(tests, id) >= len(c.runs)
}

// failsWithAnother reports whether a test only failed where one that it depends on did.
func (c *conformance) failsWithAnother(tests map[string]suiteTest, id string) bool {
	return !slices.ContainsFunc(c.runs, func(r map[string]json.RawMessage) bool {
		return !passed(tests, r, id) && !slices.ContainsFunc(tests[id].DependsOn, func(on string) bool { return !passed(tests, r, on) })
	})
}

// conformancePage writes docs/conformance.md. A test that is lost without a reason that is known is an error.
func conformancePage(t *testing.T, commit string, tests map[string]suiteTest, all []*conformance) []byte {
	t.Helper()
	ids := slices.Sorted(maps.Keys(tests))
	total := make(map[string]int)
	for _, test := range tests {
		total[test.Kind]++
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Conformance

What [`+"`reprise proxy`"+`](proxy.md) makes of the public HTTP cache test suite
([http-tests/cache-tests](https://github.com/http-tests/cache-tests), commit %s): its own server is the origin, its own
client asks, and a test counts where it and all that it depends on pass in most of %d runs. The store has five seconds instead of
250 ms, so that the figures do not depend on the machine. `+"`make conformance`"+` writes this page;
`+"`make conformance SUITE=DIR`"+` takes a checkout that is there already.

| mode | store | required | optimal |
| --- | --- | --- | --- |
`, commit, conformanceRuns)
	for _, c := range all {
		count := make(map[string]int)
		for _, id := range ids {
			if !c.lost(tests, id) {
				count[tests[id].Kind]++
			}
		}
		fmt.Fprintf(&b, "| %s | %s | **%d** of %d | **%d** of %d |\n", c.mode, c.store, count["required"], total["required"], count["optimal"], total["optimal"])
		t.Logf("%s on %s: required %d of %d, optimal %d of %d", c.mode, c.store, count["required"], total["required"], count["optimal"], total["optimal"])
	}
	for _, mode := range conformanceModes {
		fmt.Fprintf(&b, "\n## %s\n\n%s. ", strings.ToUpper(mode.name[:1])+mode.name[1:], mode.text)
		var rows, once []string
		for _, id := range ids {
			if tests[id].Kind == "check" {
				continue
			}
			var lost []string
			for _, c := range all {
				switch n := c.failures(tests, id); {
				case c.mode != mode.name || n == 0:
				case c.lost(tests, id):
					lost = append(lost, c.store)
				case !c.failsWithAnother(tests, id):
					once = append(once, fmt.Sprintf("`%s` on %s", id, c.store))
				}
			}
			if len(lost) == 0 {
				continue
			}
			why := reasonFor(tests, mode.reasons, conformanceModes[0].reasons, id)
			if why == "" {
				t.Errorf("%s: %s is lost on %s, without a reason: %s", mode.name, id, lost, firstResult(all, mode.name, id))
				why = "not known"
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", id, tests[id].Kind, why))
		}
		if len(rows) == 0 {
			b.WriteString("Nothing is lost.\n")
		} else {
			b.WriteString("Lost:\n\n| test | kind | why |\n| --- | --- | --- |\n" + strings.Join(rows, ""))
		}
		if len(once) > 0 {
			fmt.Fprintf(&b, "\nLost in one run of %d, without those that depend on them: %s. What they had stored was gone: [an invalidation of "+
				"something else](invalidation.md#what-is-not-promised) can take it along.\n", conformanceRuns, strings.Join(once, ", "))
		}
	}
	return b.Bytes()
}

// reasonFor returns why a test is lost: for itself, or for what it depends on.
func reasonFor(tests map[string]suiteTest, own, letter map[string]string, id string) string {
	for _, reasons := range []map[string]string{own, letter} {
		if why := reasons[id]; why != "" {
			return why
		}
	}
	for _, on := range tests[id].DependsOn {
		if why := reasonFor(tests, own, letter, on); why != "" {
			return "depends on `" + on + "`"
		}
	}
	return ""
}

func firstResult(all []*conformance, mode, id string) string {
	for _, c := range all {
		for _, r := range c.runs {
			if c.mode == mode && string(r[id]) != "true" {
				return string(r[id])
			}
		}
	}
	return "a test that it depends on"
}

// The page is made of results as the suite gives them.
func TestConformancePage(t *testing.T) {
	tests := map[string]suiteTest{
		"a":                          {ID: "a", Kind: "required"},
		"b":                          {ID: "b", Kind: "required", DependsOn: []string{"conditional-lm-fresh-no-lm"}},
		"c":                          {ID: "c", Kind: "check"},
		"d":                          {ID: "d", Kind: "required", DependsOn: []string{"a"}},
		"conditional-lm-fresh-no-lm": {ID: "conditional-lm-fresh-no-lm", Kind: "optimal"},
	}
	result := map[string]json.RawMessage{"a": []byte("true"), "b": []byte("true"), "c": []byte("false"), "conditional-lm-fresh-no-lm": []byte(`["Assertion","x"]`)}
	unlucky := maps.Clone(result)
	unlucky["a"], unlucky["d"] = []byte("false"), []byte("true")
	result["d"] = []byte("true")
	runs := []map[string]json.RawMessage{result, unlucky, result}
	page := string(conformancePage(t, "0123 of 2026-01-01", tests, []*conformance{{"letter", "memory", runs}, {"safe", "memory", runs}}))
	for _, want := range []string{
		"| letter | memory | **2** of 3 | **0** of 1 |",
		"| safe | memory | **2** of 3 | **0** of 1 |",
		"| `b` | required | depends on `conditional-lm-fresh-no-lm` |",
		"| `conditional-lm-fresh-no-lm` | optimal | the suite wants 304",
		"Lost in one run of 3, without those that depend on them: `a` on memory. ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page =\n%s\nwant %q", page, want)
		}
	}
}

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// site is a server that is measured.
type site struct {
	name    string
	setup   string // in words, for the report
	behind  bool   // it is a proxy in front of the bare server
	direct  bool   // it caches nothing
	command func(*lab) (program, error)
}

// program is how a site is started.
type program struct {
	args    func(port int, dir string) []string // the program's path among them
	files   map[string]string
	version []module
}

// bareSite is what the others are divided by.
const bareSite = "bare net/http"

// sites are all servers, the Go ones first.
func sites() []site {
	return []site{
		{name: bareSite, setup: "the handler, no cache", direct: true, command: goServer("bare")},
		{name: "reprise middleware", setup: "`reprise.TTL(time.Hour)`", command: goServer("reprise")},
		{name: "fiber cache", setup: "`middleware/cache` on fasthttp", command: goServer("fiber")},
		{name: "reprise proxy", setup: "defaults, no access log", behind: true, command: repriseProxy},
		{name: "nginx", setup: "`proxy_cache`, no access log", behind: true, command: nginx},
		{name: "Varnish", setup: "its own VCL, in memory", behind: true, command: varnish},
		{name: "FastAPI", setup: "uvicorn, no cache", direct: true, command: python("fastapi")},
		{name: "fastapi-cache2", setup: "uvicorn, in memory", command: python("fastapi-cache2")},
		{name: "fastapi-caching-route", setup: "uvicorn, aiocache in memory", command: python("fastapi-caching-route")},
		{name: "litestar", setup: "uvicorn, in memory", command: python("litestar")},
	}
}

// goServer is this program as a server.
func goServer(kind string) func(*lab) (program, error) {
	return func(l *lab) (program, error) {
		self, err := os.Executable()
		return program{args: func(port int, _ string) []string {
			return []string{self, serveCommand, kind, strconv.Itoa(port), l.run}
		}}, err
	}
}

func repriseProxy(l *lab) (program, error) {
	file := filepath.Join(l.dir, "reprise")
	out, err := exec.Command("go", "build", "-o", file, "github.com/reprise-go/reprise/cmd/reprise").CombinedOutput()
	if err != nil {
		return program{}, fmt.Errorf("%w\n%s", err, out)
	}
	return program{args: func(port int, _ string) []string {
		return []string{
			file, "proxy", "--origin", "http://" + l.origin, "--listen", "127.0.0.1:" + strconv.Itoa(port),
			"--admin", "", "--access-log", "off",
		}
	}}, nil
}

//go:embed nginx.conf
var nginxConfig string

func nginx(l *lab) (program, error) {
	file, err := find("nginx")
	return program{
		// Only now is the port known.
		args: func(port int, dir string) []string {
			const fill = `sed "s/PORT/$2/" nginx.conf.in >nginx.conf && exec "$1" -p "$3" -c nginx.conf -e stderr`
			return []string{"sh", "-c", fill, "sh", file, strconv.Itoa(port), dir + "/"}
		},
		files:   map[string]string{"nginx.conf.in": strings.ReplaceAll(nginxConfig, "ORIGIN", l.origin)},
		version: []module{{"nginx", version(file, "-v")}},
	}, err
}

func varnish(l *lab) (program, error) {
	file, err := find("varnishd")
	return program{
		args: func(port int, dir string) []string {
			return []string{
				file, "-F", "-j", "none", "-n", filepath.Join(dir, "work"), "-a", "127.0.0.1:" + strconv.Itoa(port), "-b", l.origin,
				"-s", "malloc,64m", "-T", "none",
			}
		},
		version: []module{{"Varnish", version(file, "-V")}},
	}, err
}

//go:embed python/app.py
var pythonApp string

//go:embed python/requirements.txt
var pythonRequirements string

// python is a server of python/app.py.
func python(peer string) func(*lab) (program, error) {
	return func(l *lab) (program, error) {
		cache, err := os.UserCacheDir()
		if err != nil {
			return program{}, err
		}
		// As scripts/bench-http.sh installs it; it writes the requirements last.
		dir := filepath.Join(cache, "reprise", "bench-python")
		installed, err := os.ReadFile(filepath.Join(dir, "requirements.txt"))
		if err != nil || string(installed) != pythonRequirements {
			return program{}, errors.New("its Python packages are not installed")
		}
		interpreter := filepath.Join(dir, "bin", "python")
		return program{
			args: func(port int, _ string) []string {
				return []string{interpreter, "app.py", peer, strconv.Itoa(port), l.run}
			},
			files:   map[string]string{"app.py": pythonApp},
			version: append(pinned(pythonRequirements, peer, "uvicorn"), module{"Python", version(interpreter, "--version")}),
		}, nil
	}
}

// pinned returns packages with their versions in a list of requirements.
func pinned(requirements string, packages ...string) (ms []module) {
	for line := range strings.Lines(requirements) {
		name, v, ok := strings.Cut(strings.TrimSpace(line), "==")
		for _, p := range packages {
			if ok && name == p {
				ms = append(ms, module{name, v})
			}
		}
	}
	return ms
}

// find looks for a program where servers are, which is not in everybody's PATH.
func find(name string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin"} {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return name, fmt.Errorf("%s is not installed", name)
}

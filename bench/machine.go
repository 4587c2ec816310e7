package main

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// about is what a reader must know of a run.
type about struct {
	Date, CPU, System, Go, Revision string
	Cores                           int
	Modules                         []module
}

type module struct{ Path, Version string }

func thisMachine() about {
	return about{
		Date: time.Now().UTC().Format(time.DateOnly), CPU: processor(), System: system(), Go: runtime.Version(),
		Cores: runtime.NumCPU(), Revision: revision(), Modules: modules(),
	}
}

// field returns what stands behind the first line of a file that begins with name, or "".
func field(file, name, separator string) string {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == name {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

func processor() string {
	if name := field("/proc/cpuinfo", "model name", ":"); name != "" {
		return name
	}
	return "unnamed " + runtime.GOARCH
}

func system() string {
	name := field("/etc/os-release", "PRETTY_NAME", "=")
	if kib, err := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal", ":"), " kB")); err == nil {
		return strings.TrimPrefix(name+", ", ", ") + strconv.Itoa(kib>>20) + " GiB, " + runtime.GOOS + "/" + runtime.GOARCH
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}

// revision is the commit that was measured.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// modules are the peers and clients with their versions.
func modules() []module {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var ms []module
	for _, d := range info.Deps {
		for _, p := range compared() {
			if d.Path == p {
				ms = append(ms, module{d.Path, d.Version})
			}
		}
	}
	return ms
}

// compared are the modules that reprise is measured beside.
func compared() []string {
	return []string{
		"github.com/bradfitz/gomemcache", "github.com/chenyahui/gin-cache", "github.com/go-chi/stampede",
		"github.com/go-redis/cache/v9", "github.com/gofiber/fiber/v3", "github.com/hashicorp/golang-lru/v2",
		"github.com/maypok86/otter/v2", "github.com/redis/rueidis", "github.com/viccon/sturdyc",
		"github.com/victorspringer/http-cache", "github.com/aws/aws-sdk-go-v2/service/dynamodb",
	}
}

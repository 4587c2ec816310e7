package main

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// about is what a reader must know of a run.
type about struct {
	Date, CPU, System, Go, Revision string
	Cores                           int
	Load                            string // of other programs, in the minute before
}

// module is something that was measured or measured with.
type module struct{ Path, Version string }

func thisMachine() about {
	return about{
		Date: time.Now().UTC().Format(time.DateOnly), CPU: processor(), System: system(), Go: runtime.Version(),
		Cores: runtime.NumCPU(), Revision: revision(), Load: machineLoad(),
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

// machineLoad is how many processes wanted to run, on average of a minute; "unknown" where the system does not say.
func machineLoad() string {
	b, _ := os.ReadFile("/proc/loadavg")
	if load, _, ok := strings.Cut(string(b), " "); ok {
		return load
	}
	return "unknown"
}

// revision is the commit that was measured.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// built returns those of the modules that this program is built with, with their versions.
func built(paths []string) (ms []module) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, d := range info.Deps {
		if slices.Contains(paths, d.Path) {
			ms = append(ms, module{d.Path, d.Version})
		}
	}
	return ms
}

// version returns the version in what a program says when it is asked for it, or "unknown".
func version(program string, args ...string) string {
	out, _ := exec.Command(program, args...).CombinedOutput() // wrk and others say it and fail
	return versionIn(string(out))
}

// versionIn returns the first of s that looks like a version.
func versionIn(s string) string {
	if v := regexp.MustCompile(`\d+(\.\d+)+`).FindString(s); v != "" {
		return v
	}
	return "unknown"
}

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/PID/stat, which is the same on all systems that Go runs on.
const tick = 10 * time.Millisecond

// stat is what /proc/PID/stat tells of a process.
type stat struct {
	pid, parent int
	cpu         time.Duration // of all threads, those that have ended among them
}

// parseStat reads a line of /proc/PID/stat. The name in parentheses may have spaces and parentheses itself.
func parseStat(line string) (stat, error) {
	first, rest := strings.Index(line, " ("), strings.LastIndex(line, ") ")
	if first < 0 || rest < first {
		return stat{}, fmt.Errorf("no name in %q", line)
	}
	const parent, user, system = 1, 11, 12 // counted after the name
	fields := strings.Fields(line[rest+2:])
	if len(fields) <= system {
		return stat{}, fmt.Errorf("%d fields in %q", len(fields), line)
	}
	var numbers [4]int
	for i, text := range []string{line[:first], fields[parent], fields[user], fields[system]} {
		n, err := strconv.Atoi(text)
		if err != nil {
			return stat{}, fmt.Errorf("%q: %w", line, err)
		}
		numbers[i] = n
	}
	return stat{pid: numbers[0], parent: numbers[1], cpu: time.Duration(numbers[2]+numbers[3]) * tick}, nil
}

// treeCPU is the processor time of a process and its descendants.
func treeCPU(root int) (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	var all []stat
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		s, err := parseStat(string(line))
		if err != nil {
			return 0, err
		}
		all = append(all, s)
	}
	return sumTree(all, root)
}

// sumTree adds up the processor time of root and its descendants.
func sumTree(all []stat, root int) (time.Duration, error) {
	children := map[int][]int{}
	cpu := map[int]time.Duration{}
	for _, s := range all {
		children[s.parent] = append(children[s.parent], s.pid)
		cpu[s.pid] = s.cpu
	}
	if _, ok := cpu[root]; !ok {
		return 0, fmt.Errorf("process %d is gone", root)
	}
	var sum time.Duration
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		sum += cpu[queue[0]]
		queue = append(queue, children[queue[0]]...)
	}
	return sum, nil
}

// cores are the processors that this process may run on.
func cores() ([]int, error) {
	return parseCores(field("/proc/self/status", "Cpus_allowed_list", ":"))
}

// parseCores reads a list such as 0-2,8.
func parseCores(list string) (cores []int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		first, err := strconv.Atoi(low)
		if err != nil {
			return nil, fmt.Errorf("processors %q: %w", list, err)
		}
		last, err := strconv.Atoi(high)
		if err != nil {
			return nil, fmt.Errorf("processors %q: %w", list, err)
		}
		for core := first; core <= last; core++ {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

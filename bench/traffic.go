package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// connections is how many wrk keeps open. Each asks again as soon as it has its answer.
const connections = 16

// traffic is what wrk tells of its requests.
type traffic struct {
	Requests int     `json:"requests"` // that were answered
	Bytes    int     `json:"bytes"`    // heads included
	Micros   int     `json:"micros"`   // how long it took
	P50      float64 `json:"p50"`      // microseconds
	P99      float64 `json:"p99"`
	Errors   int     `json:"errors"` // connections that failed, timeouts and answers that are errors
}

// maxHead is more than any of the servers sends before a body.
const maxHead = 1000

//go:embed wrk.lua
var wrkScript string

// generate lets wrk ask for url from one core.
func generate(ctx context.Context, script, url string, core int, d time.Duration) (traffic, error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(core), "wrk", "-t1", "-c"+strconv.Itoa(connections),
		"-d"+strconv.Itoa(int(d.Seconds()))+"s", "-s", script, url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return traffic{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	return parseTraffic(string(out))
}

// parseTraffic reads the last line of what wrk prints, which is the script's.
func parseTraffic(out string) (t traffic, err error) {
	out = strings.TrimSpace(out)
	last := out[strings.LastIndexByte(out, '\n')+1:]
	if err := json.Unmarshal([]byte(last), &t); err != nil {
		return traffic{}, fmt.Errorf("wrk printed %q: %w", out, err)
	}
	return t, nil
}

// check fails unless all requests were answered, and with bodies of that size.
func (t traffic) check(size int) error {
	switch {
	case t.Errors > 0:
		return fmt.Errorf("%d of %d requests failed", t.Errors, t.Requests)
	case t.Requests == 0 || t.Micros == 0:
		return fmt.Errorf("%d requests in %d µs", t.Requests, t.Micros)
	case t.Bytes < t.Requests*size || t.Bytes > (t.Requests+connections)*(size+maxHead): // the last answers may be cut
		return fmt.Errorf("%d bytes per answer; the body has %d", t.Bytes/t.Requests, size)
	}
	return nil
}

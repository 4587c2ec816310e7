//go:build !unix

package main

import "time"

var start = time.Now()

// cpuTime is the time that has passed: the nearest thing to processor time without getrusage.
func cpuTime() time.Duration { return time.Since(start) }

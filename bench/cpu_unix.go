//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used of all processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // there is no such error for these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package history

import "golang.org/x/sys/unix"

// now reads CLOCK_MONOTONIC, which is one clock for all processes of a machine: the moments that different processes
// write down can be compared.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // Linux always has this clock
	}
	return t.Nano()
}

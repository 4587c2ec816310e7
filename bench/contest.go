package main

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// contender does the same work as its rivals in a contest.
type contender struct {
	name string
	base string // whose time its own is divided by; "" is none

	// loop returns what one worker does: it runs the operation n times. Workers share nothing but what is measured.
	loop func(worker int) func(n int)

	// before, if there is one, gets ready for n operations. It is not measured.
	before func(n int)
}

// result is what a contest tells of one contender: medians of the rounds.
type result struct {
	name   string
	cpu    float64 // nanoseconds of processor time per operation
	wall   float64 // nanoseconds that passed, divided by all operations of all workers
	allocs float64
	bytes  float64
	ratio  spread // of cpu to that of the base in the same round; zero without a base
}

// spread is a median with its quartiles.
type spread struct{ low, mid, high float64 }

type sample struct{ cpu, wall, allocs, bytes float64 }

// contest lets all contenders work in turn, in rounds, each round beginning with another one, so that whatever else the
// machine does hits all of them. There are as many workers as cores.
func (b *bench) contest(cores int, cs []contender) []result {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	samples := make([][]sample, len(cs))
	loops := make([][]func(int), len(cs))
	count := make([]int, len(cs))
	for i, c := range cs {
		for w := range cores {
			loops[i] = append(loops[i], c.loop(w))
		}
		count[i] = b.calibrate(c, loops[i])
	}
	for round := range b.rounds {
		for k := range cs {
			i := (round + k) % len(cs)
			if cs[i].before == nil {
				settle(loops[i], count[i]/2)
			}
			samples[i] = append(samples[i], measure(cs[i], loops[i], count[i]))
		}
	}
	return results(cs, samples)
}

// settle collects the garbage of the others and lets one contender find its data in the processor's caches again.
func settle(loops []func(int), n int) {
	runtime.GC()
	for _, loop := range loops {
		loop(n)
	}
}

// calibrate returns how many operations of each worker take one sample of processor time.
func (b *bench) calibrate(c contender, loops []func(int)) int {
	for n := 1; ; n *= 2 {
		s := measure(c, loops, n)
		if spent := time.Duration(s.cpu * float64(n*len(loops))); spent >= b.sample/4 {
			return max(1, int(float64(b.sample)/(s.cpu*float64(len(loops)))))
		}
	}
}

// measure lets each worker run n operations.
func measure(c contender, loops []func(int), n int) sample {
	if c.before != nil {
		c.before(n * len(loops))
	}
	var before, after runtime.MemStats
	var done sync.WaitGroup
	runtime.ReadMemStats(&before)
	cpu, wall := cpuTime(), time.Now()
	for _, loop := range loops[1:] {
		done.Go(func() { loop(n) })
	}
	loops[0](n)
	done.Wait()
	passed, used := time.Since(wall), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	ops := float64(n * len(loops))
	return sample{
		cpu: float64(used) / ops, wall: float64(passed) / ops,
		allocs: float64(after.Mallocs-before.Mallocs) / ops, bytes: float64(after.TotalAlloc-before.TotalAlloc) / ops,
	}
}

func results(cs []contender, samples [][]sample) []result {
	rs := make([]result, len(cs))
	for i, c := range cs {
		pick := func(f func(sample) float64) float64 {
			return spreadOf(each(samples[i], f)).mid
		}
		rs[i] = result{
			name:   c.name,
			cpu:    pick(func(s sample) float64 { return s.cpu }),
			wall:   pick(func(s sample) float64 { return s.wall }),
			allocs: pick(func(s sample) float64 { return s.allocs }),
			bytes:  pick(func(s sample) float64 { return s.bytes }),
		}
		if k := slices.IndexFunc(cs, func(x contender) bool { return x.name == c.base }); c.base != "" && k >= 0 {
			ratios := make([]float64, len(samples[i]))
			for round, s := range samples[i] {
				ratios[round] = s.cpu / samples[k][round].cpu
			}
			rs[i].ratio = spreadOf(ratios)
		}
	}
	return rs
}

func each[T, U any](xs []T, f func(T) U) []U {
	ys := make([]U, len(xs))
	for i, x := range xs {
		ys[i] = f(x)
	}
	return ys
}

// spreadOf returns the median and the quartiles of xs, which it leaves alone. There is at least one.
func spreadOf(xs []float64) spread {
	xs = slices.Sorted(slices.Values(xs))
	n := len(xs)
	mid := xs[n/2]
	if n%2 == 0 {
		mid = (mid + xs[n/2-1]) / 2
	}
	return spread{low: xs[n/4], mid: mid, high: xs[n-1-n/4]}
}

// of returns the result of the contender with that name.
func of(rs []result, name string) result {
	i := slices.IndexFunc(rs, func(r result) bool { return r.name == name })
	return rs[i]
}

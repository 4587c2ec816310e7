//go:build race

package main

// raceDetector says that the tests run under it: it looks at the peers, too.
const raceDetector = true

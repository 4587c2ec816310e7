//go:build race

package reprise_test

// raceDetector says that the tests run under it: it allocates.
const raceDetector = true

//go:build race

package reprise_test

const raceDetector = true

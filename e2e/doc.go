// Package e2e holds the tests that need the cache and several stores at once, on real servers: the scenarios on every
// store, faults under load, two processes on one store, eight that want one cold key, and what a hit costs compared with
// the client alone. It has nothing to import.
//
//	go test ./e2e                           about a minute
//	go test ./e2e -run TestFaults -v        prints what each fault did to clients
//	go test ./e2e -run TestFaults -full     with the faults as long as production has them
//	go test ./e2e -run TestFleet -full -v   one run for eight processes, 200 times, and what the others wait
//	go test ./e2e -run '^$' -bench Hit      the cost of a hit
//
// Why it is a module of its own: docs/adr.
package e2e

// Package history proves DESIGN §6 by experiment: an invalidation that returned stays true, in every process that shares the
// store, whatever fails meanwhile.
//
// A driver starts worker processes, each with a cache on the same store, and sends them reads and invalidations. The
// driver is also the database: it holds a version for each object, which handlers and loaders ask for when they begin, and
// which every mutation increases before it invalidates. Some fills are slow. Meanwhile the clocks of the processes differ by
// minutes, the process of a fill is stopped in the middle of it, connections are reset, and the server of the store is killed and
// comes back with its data, with those of some time ago, or without.
//
// All of it is written down, by one clock, as a [History]. [History.Check] then looks for what must not be: an answer whose
// fill began before an invalidation that names the answer and was acknowledged before the answer was asked for.
// An invalidation that returned an error is not acknowledged: it may or may not have happened.
//
// The checker is held by histories that must fail, and the whole by stores that are broken on purpose, in which it must
// find violations.
//
//	go test ./e2e/history            40,000 operations on Redis, 10,000 in memory and on Memcached, 500 on DynamoDB
//	make soak SOAKTIME=30m           1,000,000 and 50,000; at most half an hour for each store
package history

// Package redisstore keeps a cache's entries in Redis or Valkey: a single server, a Sentinel group or a Cluster.
//
//	s, err := redisstore.New(redisstore.Config{URL: "redis://cache.internal:6379"})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//
// A [Store] can do all that package store names for a store outside the process: [store.MultiGetter],
// [store.Sequencer], [store.Locker], [store.Lister], [store.Clearer] and [store.Notifier]. It needs Redis 6 or later.
//
// # Connections
//
// New does not connect; the first call does, and calls fail while no server answers. Calls return by the deadline of
// their context, and none is tried again behind the caller's back, except once on a fresh connection after an idle one
// turned out to be dead. On a connection that nothing else uses, a context that is cancelled before its deadline may be
// obeyed at the deadline only.
//
// # Keys
//
// With the prefix "reprise:", the value of the key k is the string "reprise:{:k}", the lease of the name n the hash
// "reprise:lock{:n}" and the marks of the [store.Sequencer] the string "reprise:marks:2", of 2 MiB. The store touches
// nothing else: it never flushes a database and never lists one with KEYS. Braces make the lease of a name share a
// Cluster's slot with the value of the same key.
//
// # Look-ups
//
// GetMarked is one GET while nothing is invalidated: the server is asked to announce when the marks change (CLIENT
// TRACKING), on the connection that they were read on. Where it cannot or may not, and in a Cluster, they are read with each
// value, in the same round trip.
//
// # Invalidation when a server forgets
//
// A server that restarts may come back with its data as of some seconds ago, and a replica that is promoted may not
// have seen the last writes of its master. Marks that were raised meanwhile would be gone, and what they invalidated
// would be served again. The marks therefore name the run of the server that they belong to and its replication
// history (run_id and master_replid), and every connection on which they are read was asked for both when it was opened.
// Marks of another run are given up, with a new incarnation: what was stored before counts as invalidated. The same
// happens when the marks are evicted or flushed. [Config.Durable] is for servers that do not forget.
package redisstore

// Package memcachedstore keeps values in Memcached, on one server or several.
//
//	s, err := memcachedstore.New(memcachedstore.Config{Servers: []string{"10.0.0.1:11211", "10.0.0.2:11211"}})
//
// A [Store] needs Memcached 1.6 or later, which has the meta commands. It reads several keys in one round trip to each
// server ([store.MultiGetter]), fences invalidations ([store.Sequencer]) and grants leases ([store.Locker]). Memcached
// cannot list keys, so the store neither lists nor clears.
//
// # Several servers
//
// Keys are spread by consistent hashing over the addresses in [Config]. The sequence, which every look-up reads, lives
// on one of them. A server that does not answer is not replaced by another: its keys are errors, which reprise treats
// as misses, until it is back. A client that moves the keys of a failed server elsewhere, and back later, brings back
// what was invalidated meanwhile.
//
// All processes must have the same servers. A change that moves the sequence to another server is a new incarnation
// there, and everything is a miss once. To go back to an earlier list of servers is not safe while their items are
// still there, since they know nothing of what was invalidated meanwhile: flush them, or take another Prefix.
//
// # Limits
//
// Values longer than an item are cut and put together again, up to Config.MaxValueBytes. Keys that Memcached does not
// take stand there as their SHA-256. Times are rounded up to whole seconds, plus one. Memcached may evict any item at
// any time: an evicted value is a miss, an evicted mark an invalidation of more than was asked for, never of less.
//
// # The client
//
// The store has a client of its own, internal/meta. The best kept one in Go, bradfitz/gomemcache, takes no context, so
// that each operation would need a goroutine that outlives it; it sends one write at a time, where a Raise of twenty
// tags is forty; it trusts the lengths in replies, up to 4 GiB, and panics at some that are cut short; and it has no
// meta commands, whose tags tell a reply that belongs to another command.
package memcachedstore

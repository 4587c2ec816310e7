// Package realserver starts real servers for tests: Redis, a Redis Cluster, Memcached and whatever a [Command]
// describes. Each listens on a free loopback port and works in a temporary directory of its own.
//
// [Redis], [RedisCluster] and [Memcached] share one server among all tests of a test binary: it starts at first use
// and ends with the binary. These package variables are the only state that outlives a test. Tests that share a
// server keep apart by the prefix of their keys. [NewRedis], [NewRedisCluster], [NewMemcached] and [Start] give a
// server to one test alone, which may stop, kill and restart it, and which ends with that test.
//
// No server survives its test binary, also when that ends by os.Exit, by a panic or by a test's timeout: the kernel
// kills the server as soon as the thread that started it is gone (PR_SET_PDEATHSIG), and that thread is kept for as
// long as the server runs. That is why servers start on Linux only; on other systems their tests are skipped.
//
// A server that is not installed skips the test and says what installs it. With REPRISE_TEST_SERVERS=required in
// the environment it fails the test instead.
//
// [NewProxy] stands between a client and a server and breaks the connection in the ways that networks do.
package realserver

// Package etcdtest runs real etcd for tests: in the test's own process ([Start], [StartCluster]), or one process a
// member ([StartProcesses]), where members can be paused and killed. It links the embedded server, so only tests
// import it.
//
// Members listen on ports of 127.0.0.1 that they keep over a restart, and write their data to the test's temporary
// directory without fsync. Their timing is ten times faster than etcd's own, or twice for several members, which leases
// of one second need; [Defaults] gives both back.
package etcdtest

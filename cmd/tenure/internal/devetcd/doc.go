// Package devetcd runs the single-member etcd behind --dev: one server process for each data folder, shared by every
// tenure process of the machine that names the folder.
//
// # Who runs when
//
// The server is a process of its own, started by the first client as a detached child, so it outlives that client, even
// one that is killed. It ends by itself some seconds (the linger) after its last client has gone. What decides is three
// advisory file locks in the folder, which the kernel drops when their holder dies, however it dies:
//
//	clients   every client holds it shared for as long as it lives. The server tries to take it exclusively; when that
//	          has succeeded for the whole linger, nobody is left: it keeps the lock and goes. A client that comes then
//	          waits for the lock until the server is gone, and starts a new one: it never meets a server that is leaving.
//	server    the server holds it exclusively for as long as it lives. Whoever can lock it knows that there is no server.
//	start     held exclusively by the client that starts a server, so that one does.
//
// The folder also holds the file address (JSON: where the server listens and which cluster it is; written by rename),
// the file version (of the etcd that wrote the data last), the server's log, and etcd's own data under data.
//
// # Failures
//
// A starter that is killed half way leaves either no server, and the next client starts one, or a server that is on
// its way, which the next client waits for. An address from before is recognised because no server of that cluster
// answers there. A server that is killed is started again by any client that is still there, within about a second, on
// the same port while that is free. Data written by a newer etcd is refused before it is opened.
//
// The server listens on 127.0.0.1 without authentication: other users of the same machine can reach it. It is for
// development. Locks are advisory, so the folder has to be on a local file system. Linux and macOS only.
package devetcd

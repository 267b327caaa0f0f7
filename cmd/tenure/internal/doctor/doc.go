// Package doctor examines an etcd and the groups in it for what keeps a fleet from working well, and says what to do.
// It writes nothing: that a user may write is seen by a transaction that cannot succeed, and what a commit takes by
// leases that are granted and revoked.
package doctor

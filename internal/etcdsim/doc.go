// Package etcdsim is an etcd in the time of a testing/synctest bubble: etcd's own key-value store, transactions,
// watches and leases, without Raft, disks and machines, behind networks that tests break. Clients are etcd's own, over
// gRPC.
//
// It stands for a cluster that agrees. What disagreement looks like to clients is made: leaders move, and one that was
// paused goes on answering renewals of leases. Every delay comes from a seed.
//
// That it behaves as etcd does is shown by the conformance suite of stores, which runs on it as on an embedded etcd.
package etcdsim

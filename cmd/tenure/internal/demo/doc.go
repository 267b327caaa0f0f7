// Package demo is what "tenure demo" shows: members of one group that share a stream's partitions while one is added,
// one is drained, one is killed and one is paused for longer than its lease. Everything is real. The etcd is embedded
// in the demo's own process, the stream is files to which lines are appended, and each member is a process of "tenure
// consume" whose standard output is read here.
//
// # How it is observed
//
// Three witnesses, which know nothing of each other:
//
//	stream   knows what was appended: so many events to each partition.
//	ledger   takes in what the members print, each line with who printed it. It keeps this as runs: what one member
//	         printed of one partition without a gap, from the event at which it began.
//	history  follows the group's records in etcd, revision by revision: who claimed what and where it was to go on,
//	         which checkpoints were written, and whether their writers owned the partition then.
//
// A change begins a phase, and the next one waits until each partition has the owner that the plan gives it and this
// owner has printed an event that was appended after the move. So whatever a phase has caused is seen within it.
//
// # How it is judged
//
// [judge] is a pure function of what was witnessed. An event that was appended and is in no run is lost. One that is in
// a run and in an earlier one of its partition too is repeated, and the phase in which the later run began is what
// repeated it: a planned change must repeat none, and after a crash a run must begin right after the checkpoint that
// its claim found. No checkpoint may be written by a member that does not own the partition, and none may go back. No
// change may move more partitions than it needs to. If anything of this is not so, the demo fails and keeps the
// members' logs.
package demo

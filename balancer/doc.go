// Package balancer makes a process a member of a group that shares out the partitions of a stream: it claims those
// that the plan gives it, has a handler run for each, and gives up what is to move, each partition once its handler
// has drained.
//
// There is no leader. Every member has a presence record, mirrors the group, and computes the same plan from the same
// revision with [github.com/tenure-go/tenure/balancer/plan]. All that plans rest on is in etcd, the set of partitions
// too, to which a member's [Source] only adds: members that know different sets would leave partitions unowned.
// Claims are compared in etcd, so members that see the group at different revisions cost each other at most a claim
// in vain or a move too many, and never a second owner.
//
// # States
//
// A partition is, with a member:
//
//   - idle: not its own.
//   - claiming: a claim is under way. One whose answer did not come is not believed.
//   - handling: its handler runs, with a context that ends with trust.
//   - draining: the handler was asked to finish, see [Partition.Draining].
//   - releasing: the last checkpoint and the release are under way, in one transaction.
//   - resting: the member's own without a handler, because that failed, trust lapsed, or the partition is not yet
//     known to the source. A handler starts again only with a claim made anew: one run of a handler is one tenure
//     with one fence.
//   - finished: the handler has returned without being asked to. The partition is kept and not handled again.
//
// # What is guaranteed
//
// At any revision of etcd a partition has at most one owner. A handler's context ends a stop grace (a tenth of the
// lease's time to live, at least 200 ms) before the lease's trust does, and its Err looks at the clock, since timers
// fire late after a pause. A handler that begins nothing once its context has ended, and returns within the stop
// grace, never begins an event of a partition that another may own, as long as the clocks of this machine and of
// etcd's leader run at about the same rate, and as etcd keeps a lease that it has renewed: see package lease for when
// it may not. The member is told of the deletion then, and ends the handler at once. One that was paused inside an
// event may finish it later; its checkpoints are fenced. A planned move repeats no event, because the next owner starts
// from the checkpoint that the last one left with its release; a crash repeats what came after the last checkpoint.
//
// A balanced group writes nothing but what its handlers checkpoint. A group that changes makes the fewest moves that
// reach balance, after a settling time in which a rolling start is seen as a whole.
//
// # When something fails
//
// The process stops, at any point, and stays: its lease goes, and with it its record and partitions, in one revision.
// The others claim them as soon as they are told. It stops for a minute and wakes: its handlers' contexts have ended
// before they look, its claims and checkpoints are refused, and with a new lease it takes back what nobody has taken.
//
// An answer is lost: requests are sent again until etcd has answered or the lease is gone. What was claimed for
// nobody to know of it is found by its lease and released. What the store has claimed again after a lapse is this
// member's, also where the answer to an earlier claim comes after the news of it.
//
// etcd cannot be reached: handlers run on until trust ends, and then stop. When it is back the member has a new
// lease, claims what it had where nobody has, and starts handlers from the checkpoints. How soon it finds out is up to
// the client, which by gRPC's default looks for etcd every two minutes after a long outage: give it
// grpc.WithConnectParams with a MaxDelay well below the lease's time to live.
//
// The watch is compacted or its connection lost: the mirror lists the group again. It may be late at any time, so
// nothing is believed on its word alone; before a member passes over another that seems to be stuck it asks etcd, and
// before the first claims in a group of which nobody owns anything, or it would take the share of those it has not
// been told of.
//
// etcd's leader moves: leases get their full time again, so partitions of the dead are free later, never sooner.
//
// A handler fails or panics: it is started again after 1 s, then 2 s, up to 1 min; after five failures in a row the
// member has itself passed over for the partition for as long as there is another. It does not drain in time: its
// context ends, and its partition is released when it has returned or the stop grace has passed. Its checkpoint is
// refused because the record was changed from outside: the partition stays, and [Events] and the log say so.
//
// A member is given a partition that it does not take, for 2 s: the member for which the plan would be without that
// one takes it and leaves a record that has the other passed over, for a minute. While others are taking what is free,
// as when many begin at once, that is put off, for 20 s at the most.
//
// A partition's checkpoint cannot be read: the partition is owned and not handled until that record is mended or
// deleted, since starting at the beginning or the end would repeat or lose events.
//
// The list of the group's partitions is deleted or cannot be read: members go on with the one that they know. They put
// a deleted one again. One that cannot be read they leave alone, and nobody can join until it is mended.
//
// etcd is out of space: nothing moves; a member that leaves releases by deletions alone and says which checkpoints
// are lost.
//
// # Mixed groups
//
// Owners without a member record are consumers of another kind, such as the Event Hubs SDK's Processor on the same
// store. They keep what they hold, and what becomes free goes to members. They can take partitions from members,
// which ends the handlers; what is said above about handlers and planned moves does not hold between the two kinds.
package balancer

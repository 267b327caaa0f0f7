// Package top is the live view of a group: "tenure top". It follows the group by one watch, which costs etcd no
// polling, and draws what that has shown: the partitions with owners and checkpoints, the members with their shares,
// and what has changed. Rates are how sequence numbers of checkpoints rise, over the last ten seconds.
//
// While etcd cannot be reached the view shows what it last was told.
package top

// Package plan decides which member of a group should own which partition.
//
// It is one pure function, [Assign]: no I/O, no clock, no randomness. A group has no leader; each of its members
// reads the same records at the same revision of etcd, plans for all, and carries out what concerns itself. This
// works because from the same input everybody gets the same plan, and because the plan stays the same while it is
// being carried out.
//
//	to := plan.Assign(plan.Input{
//		Partitions: []string{"0", "1", "2"},
//		Members:    []plan.Member{{ID: "a"}, {ID: "b"}},
//		Owner:      []int32{0, 0, 0}, // a holds all three
//	})
//	// to is 0, 0, 1: a keeps two, b is to have the last
//
// Partitions and members are known by their indices, in byte order of their ids, so a plan depends on what there is
// and not on the order in which it was found. A member holds a partition if it is its owner, or if the partition has
// none and is reserved for it.
//
// # What is settled from the start
//
// A foreign owner keeps what it holds, whatever else is said of those partitions: its readers do not know of plans,
// and a partition that is taken from one is taken back. A paused partition is nobody's, and so is one that has no
// owner and is reserved for somebody who is away. These do not count for balance.
//
// # What makes a plan the best
//
// Of the plans for the rest that keep to each member's capacity, give nothing to the draining, and leave with a
// cordoned member only what it holds, Assign returns the best one. What comes first in this list decides first:
//
//  1. Pins bind. Those do not that are to a foreign or draining member, to a cordoned one that does not hold the
//     partition, to one whose capacity other pins use up (pins of what it holds go first, then pins of the first
//     partitions), or to one that is to be avoided: an operator wants the partition handled there, but it is not
//     handled there. Where all members that take partitions are to be avoided, a pin binds again.
//  2. As many partitions as possible have an owner.
//  3. As few as possible have one that they are to avoid, which are none as long as others have room.
//  4. The load is even: the highest count by weight is as low as it can be, then the next highest, and so on. This is
//     D'Hondt's order of dealing out seats. Without weights and limits all counts are the same or differ by one. A
//     heavy member may have more than one above its exact share, where a light one with one more would have a higher
//     load.
//  5. The fewest partitions leave the member that holds them. Of members with equal claims to one partition more,
//     those keep it that have it.
//  6. A member that has too many keeps the first ones; the others, and the free ones, go in order to the members that
//     have too few, in order. Of partitions that are to avoid somebody, a fixed pseudo-random choice is made.
//
// From this follows what one expects: when a member joins, partitions move to it and nowhere else; when one leaves,
// or there are new partitions, nothing else moves. (With pairs to avoid, or where a cordon ends, more may be needed.)
//
// # Why the plan stays the same
//
// A plan is carried out by several members, in no certain order: a partition that is to move is still with its old
// owner, or released and nobody's, or with its new one. Assign plans the same in all these states. Otherwise a member
// that joins could set off moves that cause others, and a partition could be on its way for long.
//
// The reason is how the list is made. Items 1 to 4 do not ask who holds what, with two exceptions: a cordoned member
// may only have what it holds, and pins of what a member holds go first. Along the way a cordoned member only loses
// what it was to lose, and pins that bind only become pins of what the member holds; so no plan becomes possible that
// was not, and this one stays possible. In item 5, each step of the way lowers the count of moves for this plan by
// one, or by nothing where the partition was free, and for no other plan by more: what was best still is, and
// whatever equals it then has equalled it from the start. So of equally good plans, one has to be chosen that all
// these states agree on. That is what item 6 does, and why members with equal claims, all of them having the one
// partition more or none of them, are taken in order and not by how many they hold now: that changes along the way.
//
// This takes for granted that nothing else changes, and that a partition which is released is no longer reserved for
// the member that released it, as the balancer's records have it.
//
// # How it is done
//
// The members are filled up to a level of load, found by bisection, which gives each its quota; partitions stay
// within quotas, and the rest is dealt out. That takes time in proportion to partitions, and to members times the
// logarithm of partitions, and no maps or strings. Loads are compared by multiplying crosswise in 128 bits, so
// weights may be as large as they like.
//
// Partitions with members to avoid are placed before, one at a time, by the cheapest chain of exchanges, each chain
// in time proportional to such partitions times members. They come from failing handlers and are few. When the square
// of their number times that of the members goes beyond about four million, those that can stay where they are do so
// up to the quota. If what remains is still too many, they are not exchanged with each other: then the rules hold,
// but a plan may be less even, move more and take more than one step to settle.
//
// # What is proven and what is not
//
// The tests compare plans with all possible ones, for every small group of equal members and for random small groups
// of all kinds, and carry plans out in all partial ways. Two of the statements above rest on more than that: that no
// two choices in the last sentence of item 6 are ranked the same, on 40 bits of a hash for each pair. If they ever
// were, the plan would still be a best one in all states, and only what has not been carried out could be planned
// differently.
package plan

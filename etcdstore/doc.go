// Package etcdstore keeps partition ownership and checkpoints of consumer fleets in etcd.
//
// It is the CheckpointStore of Azure Event Hubs (claim ownership, list ownership, list checkpoints, update checkpoint)
// with three things added: an ownership frees itself when its owner dies, because its record hangs on the owner's
// lease; a checkpoint is fenced, because etcd compares the ownership in the transaction that writes it; and much
// travels in little, because claims and checkpoints of many partitions share transactions.
//
//	keeper, err := lease.NewKeeper(ctx, client, nil)
//	store, err := etcdstore.New(client, keeper, nil)
//	won, err := store.ClaimOwnership(ctx, []etcdstore.Ownership{{Group: group, PartitionID: "0", OwnerID: "a"}}, nil)
//	start, found, err := store.Start(won[0])
//	// handle events from start on, then:
//	err = store.UpdateCheckpoint(ctx, checkpoint, &etcdstore.UpdateOptions{Fence: &won[0]})
//
// Package etcdstore/eventhubs makes of it what the Event Hubs SDK's Processor takes. The records are described in
// docs/wire-format.md, for readers and writers in other languages too.
//
// # States of a partition
//
//	    claim, no etag                      claim with the etag (a renewal: new etag, same tenure)
//	   ┌──────────────┐                    ┌────┐
//	   │              ▼                    │    ▼
//	no record        owned by A, etag 7, on A's lease ──────── B claims with etag 7 ───────▶ owned by B, etag 9
//	   ▲                │          │
//	   │   A releases,  │          │ A relinquishes (owner id "")
//	   ├── or A's lease ◀          ▼
//	   │   ends         │       owned by nobody, etag 8, on A's lease ── claim with etag 8 ──▶ owned
//	   └────────────────┴──────────────────┘
//
// The etag is the record's ModRevision. A claim compares it and puts the record in one transaction, so of any number of
// claims with one etag exactly one wins, and at any revision of etcd a partition has at most one owner. Nothing
// compares clocks of two machines: a record that exists is live, because etcd removes the dead.
//
// # Fences and the chain
//
// The fence of an ownership is that the record's ModRevision is the etag of the owner's latest claim. A lease id, an
// owner id or a CreateRevision would do less: all of them accept a zombie after A, B, A. A fenced checkpoint is
// compared with the fence and also with the checkpoint's own ModRevision, as the claim's transaction read it or the
// owner's last write left it (the chain): a late copy of a write that timed out finds that the chain has moved on, even
// though its fence still holds.
//
// # When something fails
//
// The process stops for a minute, anywhere: its lease ends and etcd frees its partitions. When it goes on, its claims
// and fenced checkpoints are compared in etcd and lose. What it begins after its trust has ended is the business of
// package lease and of whoever runs its handlers.
//
// An answer is lost: the same transaction is sent again until it is answered, since the first copy may still be on its
// way and reading would prove nothing. A claim's own claim_id, a checkpoint's own write_id in what the second copy
// finds tell that the first one did it. If the caller's context ends before that, the caller gets [ErrOutcomeUnknown];
// a checkpoint is then still settled before the next one of its partition is sent, and a claim that lands is released
// again.
//
// A copy arrives late: what it compares with has changed, because revisions only grow. Only "there is no record" can
// come true again. A store whose claim of that kind went unanswered therefore watches the group for the rest of its
// term and deletes, by compare, what such a copy writes; a process that dies before it can takes the record with its
// lease.
//
// The lease goes: the records are gone, or will be. Claims under way are lost. The keeper grants a new lease, and
// before it hands the new term out the store claims again what it held, wherever its own last record still stands or
// nothing does, and only then is the old lease revoked. Fences of the old term no longer hold.
//
// The leader moves, etcd is unreachable, overloaded or out of space: requests are repeated with jittered pauses until
// the caller's context ends.
//
// The watch is compacted or cut: a [Mirror] lists again and goes on from there.
//
// A record is corrupt: listings return the good ones beside an [ErrCorruptRecord] that names the bad ones. A record
// without a lease (a mirrored or restored etcd) counts as free, and both are claimed by their etag.
//
// etcd is restored from an older snapshot: the keeper notices that revisions went back, and the store forgets what it
// held instead of claiming it again. Restore with --bump-revision, or revisions that fences rely on come again.
//
// # Not promised
//
// Exactly-once effects outside etcd. That an unfenced checkpoint does not overwrite a newer one. That a reader which
// ignores its lost ownership stops reading: its checkpoints fail, but what it does elsewhere nobody can undo.
package etcdstore

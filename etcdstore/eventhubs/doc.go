// Package eventhubs is the checkpoint store of Azure Event Hubs' Go SDK (azeventhubs/v2) in etcd, for the SDK's
// unmodified Processor:
//
//	checkpoints := eventhubs.New(store, nil)
//	processor, err := azeventhubs.NewProcessor(consumerClient, checkpoints, nil)
//
// It gives a store of [etcdstore] the SDK's types and adds what the SDK's way of using a store asks for. One processor
// uses one store on one lease keeper.
//
// # A partition, seen through the store
//
//	           claim without etag                    claim with etag, each round
//	free ─────────────────────────────▶ owned ◀──────────────────────────┐
//	 ▲  ▲                               │ │ │ └──────────────────────────┘
//	 │  │ lease runs out or is revoked  │ │ │   or by another consumer: stolen
//	 │  │ the watchdog releases         │ │ │
//	 │  └───────────────────────────────┘ │ │
//	 │ lease runs out                     │ │ claim with owner id ""
//	 └──── relinquished ◀─────────────────┘ │
//	           │  claim with etag           │
//	           └────────────────────────────┘
//
// Free is no record; relinquished is a record with owner id "". The etag is the record's ModRevision in decimal.
//
// # What the processor does with a result
//
// Each round the processor lists the ownerships and then claims, in one call, all that it holds and all that it wants.
//
//   - A claim that is returned: the partition is opened, if it is not yet, at the checkpoint that a listing shows.
//   - A claim that is left out: nothing. A reader that the processor opened before is not closed; it ends when the new
//     owner's link takes over. Its late checkpoints are refused.
//   - An error of ListOwnership or ClaimOwnership ends the processor's Run for good. So what may pass is retried until
//     the context ends, and corrupt records are no errors.
//   - An error of ListCheckpoints leaves a partition owned that is never delivered: likewise.
//   - An error of SetCheckpoint is returned to the program. [etcdstore.ErrOwnershipLost] means that the partition is
//     another consumer's: close the partition's client. [etcdstore.ErrCheckpointConflict] comes once when somebody
//     else, such as an operator's tool, wrote the checkpoint meanwhile: the next write goes ahead.
//
// # What is kept
//
// A partition has one owner at any etcd revision. Of many claims with one etag one wins. A consumer whose process dies
// loses its partitions within the lease's time, and one that cannot reach etcd loses them to nobody before that. When a
// lease is lost and the consumer lives, its store claims back what it held and nobody took, before the next listing is
// answered.
//
// A checkpoint is written if the partition's record is the one that this store last got, or if there is none, and if
// the checkpoint is the one that the reader started from or that this store wrote last. A consumer that never held the
// partition writes only if nobody owns it, which is enough to seed checkpoints. Other stores leave it to chance
// whether the old or the new owner writes last. See [Options.UnfencedCheckpoints] to have it that way.
//
// What is not kept: the SDK gives no way to stop the reader of a partition that was lost, so that two readers may
// handle the same events until the service closes the older link.
//
// # Names
//
// Event Hubs' names ignore case, so namespace, event hub and consumer group are folded in keys, by
// [etcdstore.Group.Fold], and consumers that write them differently meet. They come back exactly as the caller wrote
// them. Partition ids are kept as they are.
//
// # Where it differs from the SDK's BlobStore
//
//   - LastModifiedTime is the time of listing, not of the last claim. A record that exists is live, since etcd removes
//     the dead, so that no consumer whose clock is off takes a partition from a live owner.
//     PartitionExpirationDuration has no effect; the lease's TTL takes its place.
//   - An etag may name a record that is gone, because it went with its owner's lease. A claim with it wins, as nobody
//     holds the partition; otherwise it would stay without an owner for a whole round.
//   - Checkpoints are fenced, as said above.
//   - A checkpoint may lack its offset or its sequence number, not both; nil comes back as nil and zero as zero.
//   - A partition twice in one claim, and a name that is empty, are errors before anything is sent.
//
// # Failures
//
// While etcd cannot be reached, calls wait. When it returns, so do they, and the lease is renewed or granted anew.
// Corrupt records are logged as errors: an ownership is listed as relinquished, with its etag, so that the next claim
// mends it; a partition whose checkpoint cannot be read is granted to nobody until that is mended or deleted, for
// starting it at the stream's end would lose data.
//
// A process may live and renew its lease when its consumer is dead: its Run has returned, or it hangs. When no call
// has been made for [Options.IdleLimit], or three times the longest gap between calls if that is more, the partitions
// are released and that is logged. Until the second listing the limit is ten minutes. A consumer that was only slow
// gets its partitions back by claiming them.
package eventhubs

// Package eventhubs is a balanced and fenced consumer of Azure Event Hubs for Go programs, in place of the SDK's
// Processor:
//
//	handle := func(ctx context.Context, p *balancer.Partition, events []*azeventhubs.ReceivedEventData) error {
//		...
//	}
//	consumer, err := eventhubs.NewConsumer(store, group, client, handle, nil)
//	...
//	err = consumer.Run(ctx) // until ctx ends
//
// The consumers of a group share the hub's partitions as members of package [balancer]. Each opens a link for each of
// its partitions, at the partition's checkpoint, and hands batches of events to the handler, whose work it checkpoints
// under the ownership's fence.
//
// # A partition, seen by a consumer
//
//	             claimed                  opened at its checkpoint
//	elsewhere ──────────────▶ starting ─────────────────────────────▶ reading ◀─┐ link lost: opened
//	  ▲  ▲  ▲                   ▲  │                                   │ │ │ └──┘ again where it was
//	  │  │  │                   │  │ refused, not connected            │ │ │
//	  │  │  │     1 s to 1 min  │  ▼                                   │ │ │
//	  │  │  │                 resting ◀────────────────────────────────┘ │ │
//	  │  │  │                   │     handler failed, cut off,           │ │
//	  │  │  └───────────────────┘     not connected                      │ │
//	  │  │  failed too often                                             │ │
//	  │  │                                   a planned move, or Run ends │ │
//	  │  └──────────────────────── draining ◀────────────────────────────┘ │
//	  │    last checkpoint and                                             │
//	  │    release in one transaction                                      │
//	  └────────────────────────────────────────────────────────────────────┘
//	       trust ended, ownership lost
//
// A partition that has no checkpoint begins where [Options.StartPositions] says. Where that is the latest event, the
// place is checkpointed before anything is read: it is found out once, and what comes after it is not missed, whoever
// reads it and when.
//
// # What is kept
//
// All of package balancer's guarantees. For events this means:
//
//   - At least once: a checkpoint covers only events for which the handler has returned nil, and a partition is read on
//     from a checkpoint, or within one ownership from the last event handled.
//   - A planned move repeats no event: the batch in hand is finished, its end is checkpointed in the transaction that
//     gives the partition up, and the next owner starts there. Events that were received and not handled are its.
//   - A crash repeats what came after the last checkpoint: [Options.CheckpointInterval] and [Options.CheckpointCount].
//   - A lost link or connection repeats nothing and skips nothing.
//   - No handler that obeys its context begins an event after another consumer may have the partition.
//   - Links are opened with the fence as their owner level (AMQP's com.microsoft:epoch), which is higher at each later
//     owner. So Event Hubs itself cuts off the reader of an owner that is not there any more, and lets it not return.
//
// # Beside the SDK's Processor
//
// Consumers and processors can share a group while a fleet is switched over, if the processors use
// [github.com/tenure-go/tenure/etcdstore/eventhubs]. Consumers take from a processor only what it gives up, and read
// with its own owner level, 0, as long as there is one. A processor may take from a consumer, which ends the handler;
// its owner level is too low for a link that the consumer has from before it came, so it reads once that is closed.
// Between the two kinds a move may repeat events, and two readers may overlap for a moment.
//
// # Failures
//
//   - If a link or the connection is lost: the SDK mends it, as often as the client's RetryOptions say. When it gives
//     up, the reader opens another link, up to five times in a row. Then the partition rests, and after five such
//     failures it is given to another consumer, if there is one, which may be connected better.
//   - If Event Hubs refuses the start: [ErrStartRefused], when the SDK has tried as often as it is to. The partition
//     rests and is tried again; the others are read.
//   - If another reader takes the link: [ErrCutOff]. What was handled is checkpointed, unless etcd has another owner
//     as well.
//   - If etcd cannot be reached: checkpoints wait, and with them their partitions, and the handlers end with their
//     trust. They go on when it is back and nobody else has taken over.
//   - If the process stops for a minute: the handler's context has ended when it runs on, by its first look. The link
//     may still be there and bring events, which are not handled.
//   - If the process is killed: its partitions are with others within the lease's TTL and a second. Their links have
//     higher owner levels, so Event Hubs does not wait for the dead ones to time out.
//   - If the handler fails: see [Handler]. If it does not return although its context has ended: the partition is given
//     up all the same, and its later checkpoints are refused.
package eventhubs

/*
Package supervise runs one process of the user's for each partition that is owned: it is what "tenure run" does for a
balancer.Handler.

# Overview

A worker is any program. It is told in its environment which partition it is for and where to go on, writes
checkpoints as lines on descriptor 3, and reads on descriptor 4 what became of them. docs/worker-protocol.md says how.

	                    environment: partition, position, fence
	balancer ── Handle ──► worker ──── descriptor 3: checkpoints ───► reports ──► Partition.Checkpoint
	                         ▲  │                                                       │
	                         │  └ descriptors 1, 2 ──► output                           │
	                         └─────────── descriptor 4: outcomes ◄─── answers ◄─────────┘

It runs under a shim (package shim), which is told again and again until when the lease can be trusted, and kills the
worker then by itself: a supervisor that is stopped, killed or cut off leaves no worker that runs on.

# States

	                      ends by itself
	running ─────────────────────────────────────────────► ended ───► rest of its group ──► read to the end ──► gone
	  │ │                                                   ▲ ▲        SIGTERM, SIGKILL      of descriptor 3
	  │ └── partition draining: SIGTERM ──► draining ───────┘ │
	  │                                        │ drain        │
	  │                                        │ time-out:    │
	  │                                        │ SIGKILL      │
	  └── partition lost: SIGTERM, and SIGKILL after the stop grace

What a worker leaves behind in its process group may go on for as long as it keeps descriptor 3 open and the partition
drains, a second otherwise. Descriptor 3 is read to its end before the partition is given up.

# What its end means

  - Status 0 without having been asked: finished. The partition is kept, and no worker started again.
  - Whatever after SIGTERM while draining: drained. What it reported last goes into the release's transaction.
  - Anything else: failed, and started again with back-off. What it reported last is written first.
  - The partition was lost: what it did not get an answer for is not written.

# Checkpoints

One checkpoint is written at a time, and while it is, further lines wait. Of those only the newest is written then, and
each gets its outcome as an answer of its own. So a worker that reports after each event costs one write a round trip
to etcd, and not one an event. A line that is no checkpoint is answered with the reason and changes nothing.

Nothing waits for a worker to read its answers. What it has not read is kept as runs of equal outcomes, of which there
are 1,024 at the most; when there would be more, the oldest are dropped. Answers are numbered like their lines.

# What is guaranteed

  - Of one partition no two workers run at once, on this machine or another, as far as a process group goes: a worker's
    group is gone before Handle returns, and before the lease can have been lost (package shim has the exceptions).
  - A checkpoint that was answered as durable is stored. A worker's checkpoints are written in the order of its lines,
    and none is lost that it had written before it ended, as long as the partition is its own.
  - A worker does not have to read its answers, nor to close anything, nor to end when it is asked to.
*/
package supervise

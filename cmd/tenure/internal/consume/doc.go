// Package consume is what "tenure consume" does once its etcd is connected: it runs the SDK's unmodified Processor on
// our checkpoint store and prints the events of the partitions that it is given.
//
// Each partition has one reader: it receives a batch, writes it to standard output in one call, and checkpoints by
// count and by time, all in one goroutine, so that a checkpoint can only cover what has been written. While etcd
// cannot be reached, a checkpoint waits and its reader with it, which bounds what would be repeated.
//
// A reader ends when its partition is lost, its checkpoint was changed by another writer, or its link failed for good.
// It then closes its client, and the Processor opens the partition again in its next round if it still owns it, from
// the stored checkpoint. When the command is asked to stop, readers finish the batch in hand and checkpoint it; only
// then is the Processor stopped, which relinquishes the partitions.
//
// What lies in a pipe unread counts as not written yet: a checkpoint waits until the pipe's reader has taken it, on
// Linux, which can tell. When standard output fails, nothing is checkpointed any more, not even what was written
// before: a pipe's reader that has gone may have left some of it unread.
package consume

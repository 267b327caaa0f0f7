// Package blobs reads and writes the checkpoints that the Event Hubs clients keep in a container of Azure Blob storage.
//
// A checkpoint is an empty blob with its position in the metadata. Its name is
//
//	namespace/event hub/consumer group/checkpoint/partition
//
// which the clients for .NET, Java, JavaScript and Python write in lower case, while the one for Go, and older ones for
// Java, write the names as they were given. Beside it, with ownership in place of checkpoint, are blobs that say who
// owns the partition.
//
// The metadata are sequencenumber, a decimal number, and offset, a text that was a number before there was
// geo-replication. Their own names are in any case: older clients for Java write SequenceNumber and Offset, and HTTP
// does not keep it. Either may be absent or empty, or None, which is what the client for Python makes of nothing.
//
// Clients read only checkpoints that have both, so none is written without.
package blobs

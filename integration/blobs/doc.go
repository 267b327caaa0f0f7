// Package blobs shows that checkpoints come from Blob storage and go back there. The storage is Azurite, Azure's own
// emulator. What is in it is written and read by the Event Hubs clients for Go and for JavaScript themselves; what the
// others write is put there in their place.
package blobs

package inspect

import "github.com/tenure-go/tenure/etcdstore"

// SamePosition reports whether two checkpoints stand at the same place.
func SamePosition(a, b etcdstore.Checkpoint) bool {
	return same(a.SequenceNumber, b.SequenceNumber) && same(a.Offset, b.Offset)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

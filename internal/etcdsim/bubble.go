package etcdsim

import (
	_ "unsafe" // for go:linkname
)

// never is a channel of etcd's client that never ends the context of a watch. It is made when the program starts, and
// a goroutine that waits for it keeps the time of a bubble from passing. Without it nothing waits.
//
//go:linkname never go.etcd.io/etcd/client/v3.valCtxCh
var never chan struct{}

// It is taken away before any client watches: those of other tests read it, too.
func init() { never = nil } //nolint:gochecknoinits // See above.

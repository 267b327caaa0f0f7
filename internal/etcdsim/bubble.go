package etcdsim

import (
	"sync"
	_ "unsafe" // for go:linkname
)

// never is a channel of etcd's client that never ends the context of a watch. It is made when the program starts, and
// a goroutine that waits for it keeps the time of a bubble from passing. Without it nothing waits.
//
//go:linkname never go.etcd.io/etcd/client/v3.valCtxCh
var never chan struct{}

// withoutNever takes it away.
var withoutNever = sync.OnceFunc(func() { never = nil })

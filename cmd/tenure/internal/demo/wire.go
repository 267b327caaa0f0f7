package demo

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// wire is where transactions arrive at etcd. It can hold a member's checkpoints up, as a slow network would, and sees
// which of all checkpoints etcd refuses.
type wire struct {
	judged func(member, writeID string, refused bool) // told of each checkpoint that etcd has decided on

	mu      sync.Mutex
	held    string        // the member whose checkpoints are held up, "" for nobody
	open    chan struct{} // closed when they may go on
	waiting int           // transactions that are held up
}

// written is the part of a checkpoint's value that tells one from another.
type written struct {
	OwnerID string `json:"owner_id"`
	WriteID string `json:"write_id"`
}

// hold holds a member's checkpoints up until release.
func (w *wire) hold(member string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held, w.open = member, make(chan struct{})
}

// release lets what is held up arrive.
func (w *wire) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held != "" {
		w.held = ""
		close(w.open)
	}
}

// onTheWay is how many transactions are held up or not yet answered since.
func (w *wire) onTheWay() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting
}

// intercept is etcd's [grpc.UnaryServerInterceptor].
func (w *wire) intercept(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	txn, ok := request.(*etcdserverpb.TxnRequest)
	if !ok {
		return handle(ctx, request)
	}
	late := w.wait(txn)
	if late {
		defer w.arrived()
		// The sender may have stopped waiting; a copy that is late arrives all the same.
		ctx = context.WithoutCancel(ctx)
	}
	response, err := handle(ctx, request)
	if answer, ok := response.(*etcdserverpb.TxnResponse); ok && err == nil {
		applied := make(map[written]bool)
		eachCheckpoint(txn, answer, func(c written, done bool) { applied[c] = applied[c] || done })
		for c, done := range applied {
			w.judged(c.OwnerID, c.WriteID, !done)
		}
	}
	return response, err
}

// wait waits while the transaction is to be held up. It reports whether it was.
func (w *wire) wait(txn *etcdserverpb.TxnRequest) bool {
	w.mu.Lock()
	open, concerned := w.open, false
	eachCheckpoint(txn, nil, func(c written, _ bool) { concerned = concerned || w.held != "" && c.OwnerID == w.held })
	if concerned {
		w.waiting++
	}
	w.mu.Unlock()
	if concerned {
		<-open
	}
	return concerned
}

func (w *wire) arrived() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
}

// eachCheckpoint calls tell for each checkpoint that a transaction puts in any of its branches, and says whether it was
// in the one that etcd took. A transaction without an answer, such as one in a branch not taken, has put nothing.
func eachCheckpoint(
	txn *etcdserverpb.TxnRequest, answer *etcdserverpb.TxnResponse, tell func(c written, done bool),
) {
	branch := func(ops []*etcdserverpb.RequestOp, taken bool) {
		for i, op := range ops {
			var nested *etcdserverpb.TxnResponse
			if taken {
				nested = answer.GetResponses()[i].GetResponseTxn()
			}
			if inner := op.GetRequestTxn(); inner != nil {
				eachCheckpoint(inner, nested, tell)
			}
			var c written
			put := op.GetRequestPut()
			if strings.HasPrefix(string(put.GetKey()), groupPrefix+"checkpoint/") && json.Unmarshal(put.GetValue(), &c) == nil {
				tell(c, taken)
			}
		}
	}
	branch(txn.GetSuccess(), answer != nil && answer.GetSucceeded())
	branch(txn.GetFailure(), answer != nil && !answer.GetSucceeded())
}

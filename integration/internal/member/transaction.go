package member

import (
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// Transaction is one that a member has sent to etcd, as far as it is about the group's ownerships and checkpoints.
type Transaction struct {
	Revision int64 `json:"revision,omitempty"` // etcd's, with its answer
	Wrote    bool  `json:"wrote,omitempty"`    // so that the revision is the transaction's own
	Parts    []Part
}

// Part is what etcd decides on as one: all of its changes are made if all of its compares hold.
type Part struct {
	If    []Record `json:"if,omitempty"`    // that each was last written at its revision, 0 for none
	More  bool     `json:"more,omitempty"`  // it compares other things as well
	Held  bool     `json:"held,omitempty"`  // etcd says that all of them hold
	Wants []Record `json:"wants,omitempty"` // what it changes then
}

// Record is an ownership or a checkpoint.
type Record struct {
	Kind      string `json:"kind"` // by the word in its key
	Partition string `json:"partition"`
	Revision  int64  `json:"revision,omitempty"`
	Deleted   bool   `json:"deleted,omitempty"`
}

// reportingKV reports each transaction when it was answered or given up.
type reportingKV struct {
	pb.KVClient

	actor *actor
}

// reportTransactions has an actor's client report its transactions.
func reportTransactions(a *actor) {
	a.Client.KV = clientv3.NewKVFromKVClient(&reportingKV{clientv3.RetryKVClient(a.Client), a}, a.Client)
}

// Txn implements [pb.KVClient].
func (k *reportingKV) Txn(
	ctx context.Context, request *pb.TxnRequest, options ...grpc.CallOption,
) (*pb.TxnResponse, error) {
	began := k.actor.Now()
	response, err := k.KVClient.Txn(ctx, request, options...)
	report := Report{Kind: Asked, Began: began, Transaction: &Transaction{}}
	if err != nil {
		report.Outcome = OutcomeUnknown
	} else {
		report.Transaction.Revision = response.Header.Revision
		report.Transaction.take("/tenure/v1/"+k.actor.config.Group+"/", request, response)
	}
	k.actor.report(report)
	return response, err
}

// take takes in what was asked about a group whose keys have a prefix, and the answer.
func (t *Transaction) take(prefix string, request *pb.TxnRequest, response *pb.TxnResponse) {
	part := Part{Held: response.Succeeded}
	for _, c := range request.Compare {
		r, ok := recordOf(prefix, c.Key)
		to, byRevision := c.TargetUnion.(*pb.Compare_ModRevision)
		if !ok || !byRevision || c.Result != pb.Compare_EQUAL || len(c.RangeEnd) > 0 {
			part.More = true
			continue
		}
		r.Revision = to.ModRevision
		part.If = append(part.If, r)
	}
	for _, op := range request.Success {
		key, deleted := op.GetRequestPut().GetKey(), op.GetRequestDeleteRange() != nil
		if deleted {
			key = op.GetRequestDeleteRange().GetKey()
		}
		if r, ok := recordOf(prefix, key); ok {
			r.Deleted = deleted
			part.Wants = append(part.Wants, r)
		}
	}
	if len(part.If)+len(part.Wants) > 0 {
		t.Parts = append(t.Parts, part)
	}
	done := request.Success
	if !response.Succeeded {
		done = request.Failure
	}
	for i, op := range done {
		answer := response.Responses[i]
		switch {
		case op.GetRequestTxn() != nil:
			t.take(prefix, op.GetRequestTxn(), answer.GetResponseTxn())
		case op.GetRequestPut() != nil, answer.GetResponseDeleteRange().GetDeleted() > 0:
			t.Wrote = true
		}
	}
}

// recordOf returns the record that a key is of.
func recordOf(prefix string, key []byte) (Record, bool) {
	rest, in := strings.CutPrefix(string(key), prefix)
	kind, partition, ok := strings.Cut(rest, "/")
	return Record{Kind: kind, Partition: partition}, in && ok && (kind == "ownership" || kind == "checkpoint")
}

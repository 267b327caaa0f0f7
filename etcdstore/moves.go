package etcdstore

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

// Move is what a partition's ownership became at one revision.
type Move struct {
	// Ownership is the record. One that was deleted, because it was released or its lease ended, has no etag.
	Ownership

	Revision int64
}

// ListMoves returns what became of a partition's ownership, oldest first, as far back as etcd remembers: to the
// revision since, up to which its history has been compacted, or to its first. Renewals are among them. Records that
// cannot be read are as those of nobody.
//
// Errors: [ErrInvalidArgument]; [ErrClosed]; ctx's error; [lease.ErrPermissionDenied].
func (s *Store) ListMoves(ctx context.Context, group Group, partitionID string) (moves []Move, since int64, err error) {
	p := problems{path: "group"}
	p.group(group)
	p.path = "partitionID"
	p.name("PartitionID", partitionID)
	if len(p.all) > 0 {
		return nil, 0, errors.Join(p.all...)
	}
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	key := s.keys.key(group, kindOwnership, partitionID)
	now, err := s.read(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	for since = 1; ; {
		moves, err = s.movesSince(ctx, key, since, now.Header.Revision)
		var compacted *compactedError
		if !errors.As(err, &compacted) {
			return moves, since, err
		}
		since = compacted.revision
	}
}

type compactedError struct{ revision int64 }

func (*compactedError) Error() string { return "compacted" }

// movesSince reads a key's history between two revisions. A watch is how etcd tells it.
func (s *Store) movesSince(ctx context.Context, key string, from, to int64) ([]Move, error) {
	return persist(ctx, s, func(ctx context.Context) ([]Move, error) {
		// A stream of its own: a server answers for all watches of a stream together, and not while one of them begins
		// with a revision to come, as those of mirrors do.
		ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "tenure", "moves")
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var moves []Move
		responses := s.client.Watch(ctx, key, clientv3.WithRev(from))
		ask := time.NewTicker(progressEvery)
		defer ask.Stop()
		for {
			var resp clientv3.WatchResponse
			select {
			case resp = <-responses:
			case <-ask.C:
				if err := s.client.RequestProgress(ctx); err != nil {
					return nil, err //nolint:wrapcheck // persist classifies it
				}
				continue
			}
			switch {
			case resp.CompactRevision > 0:
				return nil, &compactedError{resp.CompactRevision}
			case resp.Err() != nil:
				return nil, resp.Err()
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case resp.Header.GetRevision() == 0:
				return nil, errors.New("the client was closed")
			case resp.IsProgressNotify() && resp.Header.Revision >= to:
				return moves, nil
			}
			for _, e := range resp.Events {
				if e.Kv.ModRevision <= to {
					moves = append(moves, s.moveOf(key, e))
				}
			}
		}
	})
}

// progressEvery is how often a watch of what is past is asked whether that was all. A server passes over the question
// while there is more.
const progressEvery = 10 * time.Millisecond

func (s *Store) moveOf(key string, e *clientv3.Event) Move {
	move := Move{Revision: e.Kv.ModRevision}
	group, _, partition, _ := s.keys.parse(key) // written by keyspace.key
	move.Group, move.PartitionID = group, partition
	if e.Type == clientv3.EventTypeDelete {
		return move
	}
	if o, corrupt := s.ownershipOf(e.Kv); corrupt == nil {
		move.Ownership = o
	} else {
		move.ETag = corrupt.ETag
	}
	return move
}

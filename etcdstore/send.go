package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/internal/backoff"
	"github.com/tenure-go/tenure/internal/etcderr"
)

// The first attempt at a request is given up after shortestAttempt, or slackFactor times what the latest answer took if
// that is more, and each further one after half as long again, up to longestAttempt. The client spreads requests over
// its endpoints, so that a member that has gone silent is soon left, while a slow link is learnt after the first
// request.
const (
	shortestAttempt = 500 * time.Millisecond
	longestAttempt  = 8 * time.Second
	slackFactor     = 4
)

const (
	shortestPause = 20 * time.Millisecond
	longestPause  = time.Second
)

// answer is what etcd said to a transaction.
type answer struct {
	*clientv3.TxnResponse

	// repeated tells that an earlier copy of the transaction went unanswered: it may have been applied before this one,
	// or still be on its way.
	repeated bool
}

// send sends one transaction, the same one again after each failure that may pass, until etcd answers it or ctx ends.
// Reading the outcome instead would prove nothing, since an earlier copy may still arrive. An error is etcd's refusal,
// or ctx's cause together with the last failure; if a copy may have been applied it is ErrOutcomeUnknown as well.
func (s *Store) send(ctx context.Context, compares []clientv3.Cmp, then, otherwise []clientv3.Op) (answer, error) {
	repeated := false
	resp, err := persist(ctx, s, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		// Not Do, with which the client copies each compare twice, by reflection.
		resp, err := s.client.Txn(ctx).If(compares...).Then(then...).Else(otherwise...).Commit()
		if err != nil && !etcderr.NotApplied(err) {
			repeated = true
		}
		return resp, err //nolint:wrapcheck // persist classifies it
	})
	if err != nil {
		return answer{repeated: repeated}, unknownIf(repeated, err)
	}
	return answer{resp, repeated}, nil
}

func unknownIf(unknown bool, err error) error {
	if unknown && !errors.Is(err, ErrOutcomeUnknown) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

// read reads what holds no earlier than the call.
func (s *Store) read(ctx context.Context, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return persist(ctx, s, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return s.client.Get(ctx, key, options...)
	})
}

// persist makes attempts at a request until one is answered, or fails in a way that will not pass, or ctx ends.
func persist[T any](ctx context.Context, s *Store, request func(context.Context) (T, error)) (T, error) {
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	pause := backoff.New(shortestPause, longestPause)
	timeout := max(shortestAttempt, slackFactor*time.Duration(s.latestAnswer.Load()))
	first := time.Now()
	for ; ; timeout += timeout / 2 {
		timeout = min(timeout, longestAttempt)
		began := time.Now()
		attempt, cancel := context.WithTimeout(ctx, timeout)
		resp, err := request(attempt)
		cancel()
		if err == nil {
			s.latestAnswer.Store(int64(time.Since(began)))
			return resp, nil
		}
		err = etcderr.Classify(err)
		if ctx.Err() == nil && !etcderr.Transient(err) {
			return zero, err
		}
		s.tellTrouble(time.Since(first), err)
		if pause.Wait(ctx) != nil {
			return zero, fmt.Errorf("%w (last failure: %w)", context.Cause(ctx), err)
		}
	}
}

// troubleLasts is for how long a request fails before that is said, and for how long it is not said again.
const troubleLasts = 5 * time.Second

// tellTrouble says that etcd does not do what it is asked to. An etcd that is out of space goes on renewing leases, so
// that nothing else tells why partitions and checkpoints wait.
func (s *Store) tellTrouble(failing time.Duration, err error) {
	if failing < troubleLasts {
		return
	}
	s.mu.Lock()
	told := !s.troubleTold.IsZero() && time.Since(s.troubleTold) < troubleLasts
	if !told {
		s.troubleTold = time.Now()
	}
	s.mu.Unlock()
	if told {
		return
	}
	s.log.Warn("etcd does not take requests, which are tried again until it does", zap.Duration("for", failing),
		zap.Error(err))
}

// Package etcderr tells etcd's and gRPC's errors apart: why a request failed, whether it is worth sending again, and
// whether a failed write can have been applied all the same.
package etcderr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Why a request failed. Package lease exports these.
var (
	ErrNoLeader         = errors.New("etcd has no leader with a quorum")
	ErrUnreachable      = errors.New("etcd cannot be reached")
	ErrNoSpace          = errors.New("etcd is out of space")
	ErrPermissionDenied = errors.New("etcd denies permission")
	ErrLeaseGone        = errors.New("the lease is gone")
)

// Texts that the server sends with code Unknown, because its table of gRPC errors lacks them, and texts of gRPC itself.
const (
	textNotPrimary       = "not a primary lessor"
	textProposalDropped  = "raft proposal dropped"
	textSendTooLarge     = "trying to send message larger than max"
	textReceivedTooLarge = "grpc: received message larger than max"
	textConnClosing      = "grpc: the client connection is closing"
)

// Classify wraps err with the sentinel that says why the request failed, if one of this package's does. The original
// stays in the chain. An attempt that ran into its deadline counts as [ErrUnreachable]; a cancelled one is left as it
// is.
func Classify(err error) error {
	sentinel := sentinelOf(err)
	if sentinel == nil {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}

// sentinelOf returns the sentinel to wrap err with, or nil if there is none or it is there already.
func sentinelOf(err error) error {
	if err == nil || marked(err) {
		return nil
	}
	code, text := describe(err)
	switch {
	case is(text, rpctypes.ErrGRPCLeaseNotFound):
		return ErrLeaseGone
	case is(text, rpctypes.ErrGRPCNoSpace):
		return ErrNoSpace
	case code == codes.PermissionDenied, code == codes.Unauthenticated,
		is(text, rpctypes.ErrGRPCAuthFailed, rpctypes.ErrGRPCUserEmpty, rpctypes.ErrGRPCUserNotFound,
			rpctypes.ErrGRPCAuthOldRevision):
		return ErrPermissionDenied
	case text == textNotPrimary, text == textProposalDropped,
		is(text, rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNotLeader, rpctypes.ErrGRPCLeaderChanged,
			rpctypes.ErrGRPCUnhealthy,
			// A member answered, but could not settle the request with a quorum in time.
			rpctypes.ErrGRPCTimeout, rpctypes.ErrGRPCTimeoutDueToLeaderFail,
			rpctypes.ErrGRPCTimeoutDueToConnectionLost, rpctypes.ErrGRPCTimeoutWaitAppliedIndex):
		return ErrNoLeader
	case code == codes.Unavailable, code == codes.DeadlineExceeded, code == codes.Internal,
		errors.Is(err, io.EOF), errors.Is(err, clientv3.ErrNoAvailableEndpoints):
		return ErrUnreachable
	}
	return nil
}

// marked reports whether a sentinel is in err's chain already.
func marked(err error) bool {
	sentinels := []error{ErrNoLeader, ErrUnreachable, ErrNoSpace, ErrPermissionDenied, ErrLeaseGone}
	return slices.ContainsFunc(sentinels, func(sentinel error) bool { return errors.Is(err, sentinel) })
}

// Transient reports whether the same request may well succeed later: the cluster has no leader just now or a new one,
// cannot be reached, is out of space or overloaded, the attempt timed out, or the client's authentication is out of
// date. [context.Canceled] is not transient: the caller gave up. For a request without a time limit of its own, look
// at the caller's context first: its deadline cannot be told from an attempt's.
func Transient(err error) bool {
	if err == nil {
		return false
	}
	code, text := describe(err)
	if is(text, rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision,
		rpctypes.ErrGRPCRequestTooManyRequests,
		// The client's next attempt may go to another member, and this one learns or starts up.
		rpctypes.ErrGRPCNotSupportedForLearner, rpctypes.ErrGRPCNotCapable) {
		return true
	}
	if code == codes.Canceled {
		// A server that stops cancels its streams; the caller's own cancellation and a closed client are final.
		return !errors.Is(err, context.Canceled) && text != textConnClosing
	}
	err = Classify(err)
	return errors.Is(err, ErrNoLeader) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNoSpace)
}

// NotApplied reports whether a write that failed with err is known to have had no effect and never to have one: it was
// refused before it was proposed, or by a check that precedes its first change. False means unknown.
//
// "No space" is unknown: etcd refuses most writes before it proposes them, but a write that finds the quota used up
// only when it is applied is applied and answered with that error all the same (etcdserver/apply, quotaApplierV3).
func NotApplied(err error) bool {
	if err == nil {
		return false
	}
	code, text := describe(err)
	if code == codes.ResourceExhausted && strings.HasPrefix(text, textSendTooLarge) {
		return true // the client's own limit
	}
	return is(text,
		rpctypes.ErrGRPCRequestTooManyRequests, rpctypes.ErrGRPCRequestTooLarge,
		rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCAuthFailed, rpctypes.ErrGRPCUserEmpty,
		rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision,
		rpctypes.ErrGRPCLeaseNotFound, rpctypes.ErrGRPCEmptyKey, rpctypes.ErrGRPCKeyNotFound,
		rpctypes.ErrGRPCValueProvided, rpctypes.ErrGRPCLeaseProvided, rpctypes.ErrGRPCTooManyOps,
		rpctypes.ErrGRPCDuplicateKey, rpctypes.ErrGRPCInvalidClientAPIVersion, rpctypes.ErrGRPCInvalidSortOption,
		rpctypes.ErrGRPCCompacted, rpctypes.ErrGRPCFutureRev,
		rpctypes.ErrGRPCNotCapable, rpctypes.ErrGRPCNotSupportedForLearner)
}

// TooLarge reports whether a request failed because it, or its answer, is larger than a limit of the client's or the
// server's. Whether a write was applied is [NotApplied]'s to say: gRPC words a refused request and a refused answer
// alike.
func TooLarge(err error) bool {
	if err == nil {
		return false
	}
	code, text := describe(err)
	return is(text, rpctypes.ErrGRPCRequestTooLarge) || code == codes.ResourceExhausted &&
		(strings.HasPrefix(text, textSendTooLarge) || strings.HasPrefix(text, textReceivedTooLarge))
}

// describe returns the gRPC code of err and the text that the server or gRPC gave it, without what was wrapped around
// it.
func describe(err error) (codes.Code, string) {
	if fromEtcd, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return fromEtcd.Code(), fromEtcd.Error()
	}
	var fromGRPC interface{ GRPCStatus() *status.Status }
	if errors.As(err, &fromGRPC) && fromGRPC.GRPCStatus() != nil {
		return fromGRPC.GRPCStatus().Code(), fromGRPC.GRPCStatus().Message()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, err.Error()
	case errors.Is(err, context.Canceled):
		return codes.Canceled, err.Error()
	}
	return codes.Unknown, err.Error()
}

// is reports whether text is that of one of etcd's errors. The text decides, because the server gives some of its
// errors no code.
func is(text string, known ...error) bool {
	for _, err := range known {
		if text == rpctypes.ErrorDesc(err) {
			return true
		}
	}
	return false
}

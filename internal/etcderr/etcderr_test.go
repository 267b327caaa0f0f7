package etcderr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestErrors(t *testing.T) {
	tests := map[string]struct {
		err        error
		sentinel   error
		transient  bool
		notApplied bool
		tooLarge   bool
	}{
		"nil":               {},
		"no leader":         {err: rpctypes.ErrNoLeader, sentinel: ErrNoLeader, transient: true},
		"no leader, raw":    {err: rpctypes.ErrGRPCNoLeader, sentinel: ErrNoLeader, transient: true},
		"leader changed":    {err: rpctypes.ErrLeaderChanged, sentinel: ErrNoLeader, transient: true},
		"request timed out": {err: rpctypes.ErrTimeout, sentinel: ErrNoLeader, transient: true},
		"applied index":     {err: rpctypes.ErrGRPCTimeoutWaitAppliedIndex, sentinel: ErrNoLeader, transient: true},
		"not primary":       {err: status.Error(codes.Unknown, textNotPrimary), sentinel: ErrNoLeader, transient: true},
		"dropped":           {err: status.Error(codes.Unknown, textProposalDropped), sentinel: ErrNoLeader, transient: true},
		"server stopped":    {err: rpctypes.ErrStopped, sentinel: ErrUnreachable, transient: true},
		"refused": {
			err: status.Error(codes.Unavailable, "connection refused"), sentinel: ErrUnreachable, transient: true,
		},
		"stream broken": {
			err: status.Error(codes.Internal, "stream terminated"), sentinel: ErrUnreachable, transient: true,
		},
		"end of stream":     {err: io.EOF, sentinel: ErrUnreachable, transient: true},
		"no endpoints":      {err: clientv3.ErrNoAvailableEndpoints, sentinel: ErrUnreachable, transient: true},
		"attempt timed out": {err: context.DeadlineExceeded, sentinel: ErrUnreachable, transient: true},
		"deadline, raw":     {err: status.Error(codes.DeadlineExceeded, "late"), sentinel: ErrUnreachable, transient: true},
		"no space":          {err: rpctypes.ErrNoSpace, sentinel: ErrNoSpace, transient: true},
		"overloaded":        {err: rpctypes.ErrTooManyRequests, transient: true, notApplied: true},
		"overloaded, raw": {
			err: status.Error(codes.Unknown, rpctypes.ErrTooManyRequests.Error()), transient: true, notApplied: true,
		},
		"permission denied": {err: rpctypes.ErrPermissionDenied, sentinel: ErrPermissionDenied, notApplied: true},
		"wrong password":    {err: rpctypes.ErrAuthFailed, sentinel: ErrPermissionDenied, notApplied: true},
		"no user":           {err: rpctypes.ErrUserEmpty, sentinel: ErrPermissionDenied, notApplied: true},
		"denied by a proxy": {err: status.Error(codes.PermissionDenied, "no"), sentinel: ErrPermissionDenied},
		"token expired": {
			err: rpctypes.ErrInvalidAuthToken, sentinel: ErrPermissionDenied, transient: true, notApplied: true,
		},
		"old auth revision": {
			err: rpctypes.ErrAuthOldRevision, sentinel: ErrPermissionDenied, transient: true, notApplied: true,
		},
		"lease not found":   {err: rpctypes.ErrLeaseNotFound, sentinel: ErrLeaseGone, notApplied: true},
		"too many ops":      {err: rpctypes.ErrTooManyOps, notApplied: true},
		"duplicate key":     {err: rpctypes.ErrDuplicateKey, notApplied: true},
		"request too large": {err: rpctypes.ErrRequestTooLarge, notApplied: true, tooLarge: true},
		"too large to send": {
			err:        status.Error(codes.ResourceExhausted, "trying to send message larger than max (3 vs. 2)"),
			notApplied: true, tooLarge: true,
		},
		"too large to receive": {
			err:      status.Error(codes.ResourceExhausted, "grpc: received message larger than max (3 vs. 2)"),
			tooLarge: true,
		},
		"caller gave up":      {err: context.Canceled},
		"cancelled by server": {err: status.Error(codes.Canceled, "context canceled"), transient: true},
		"client closed":       {err: status.Error(codes.Canceled, textConnClosing)},
		"unheard of":          {err: errors.New("boo")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			check := func(err error) {
				t.Helper()
				classified := Classify(err)
				for _, sentinel := range []error{ErrNoLeader, ErrUnreachable, ErrNoSpace, ErrPermissionDenied, ErrLeaseGone} {
					want := errors.Is(test.sentinel, sentinel)
					require.Equal(t, want, errors.Is(classified, sentinel), "%v is %v", classified, sentinel)
				}
				require.Equal(t, test.transient, Transient(err))
				require.Equal(t, test.notApplied, NotApplied(err))
				require.Equal(t, test.tooLarge, TooLarge(err))
				if err != nil {
					require.ErrorIs(t, classified, test.err)
				}
			}
			check(test.err)
			if test.err != nil {
				check(fmt.Errorf("a request: %w", test.err))
				check(Classify(test.err))
				require.Equal(t, Classify(test.err), Classify(Classify(test.err)))
			}
		})
	}
}

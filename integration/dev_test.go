package integration_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/fleet"
	"github.com/tenure-go/tenure/integration/internal/standin"
)

// Two consumers that are started with --dev on one folder, as a newcomer does it, share the partitions without anything
// else.
func TestDevConsumersShareAFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	// Registered before the fleet's own end, so that it comes after: the folder goes when its etcd has.
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, fleet.AwaitDevEtcd(ctx, folder))
	})
	hub := standin.Start(t, standin.Options{Partitions: 4, AppendRate: 200})
	f := newFleet(t, onSDK(hub), nil, "--dev", "--dev-dir", folder, "--dev-linger", "1s")
	f.start("a")
	f.awaitShared("a")
	f.start("b")
	f.awaitShared("a", "b")
	f.awaitCaughtUp()
	f.leave("a", "b")
	f.requireSound()

	// Two that know nothing of each other share partitions too, in a way: the service lets each take them from the other.
	claimed := f.logged("b", "partition claimed")
	require.NotEmpty(t, claimed)
	for _, claim := range claimed {
		require.Equal(t, "a", claim.PreviousOwner)
	}
}

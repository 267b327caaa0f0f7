package fleet

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// AwaitDevEtcd waits until the etcd that --dev started on the folder has ended, which is when the folder may be
// removed. It holds the lock "server" for as long as it lives.
func AwaitDevEtcd(ctx context.Context, folder string) error {
	lock := flock.New(filepath.Join(folder, "server"))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("wait for the etcd of --dev to end: %w", err)
	}
	if err := lock.Close(); err != nil {
		return fmt.Errorf("wait for the etcd of --dev to end: %w", err)
	}
	return nil
}

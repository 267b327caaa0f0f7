package etcdstore

import (
	"context"
	"slices"
	"strings"
)

// NoSpace reports whether etcd says that it is out of space: it then refuses to write, but not to delete nor to renew
// leases. It asks one member, and takes silence for an etcd that has space: a write shows it otherwise.
func (s *Store) NoSpace(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, shortestAttempt)
	defer cancel()
	for _, endpoint := range s.client.Endpoints() {
		status, err := s.client.Status(ctx, endpoint)
		if err == nil {
			return slices.ContainsFunc(status.Errors, func(text string) bool { return strings.Contains(text, "NOSPACE") })
		}
	}
	return false
}

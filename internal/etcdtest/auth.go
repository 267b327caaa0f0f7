package etcdtest

import (
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Grant is a user of etcd's and what it may do.
type Grant struct {
	User       string
	Prefix     string // of keys; "" for none
	Permission clientv3.PermissionType
}

// EnableAuth makes a user of each grant and root, all with that password, and switches authentication on.
func EnableAuth(tb testing.TB, client *clientv3.Client, password string, grants ...Grant) {
	tb.Helper()
	ctx := tb.Context()
	for _, g := range append([]Grant{{User: "root"}}, grants...) {
		_, err := client.UserAdd(ctx, g.User, password)
		require.NoError(tb, err)
		_, err = client.RoleAdd(ctx, g.User)
		require.NoError(tb, err)
		_, err = client.UserGrantRole(ctx, g.User, g.User)
		require.NoError(tb, err)
		if g.Prefix != "" {
			_, err = client.RoleGrantPermission(ctx, g.User, g.Prefix, clientv3.GetPrefixRangeEnd(g.Prefix), g.Permission)
			require.NoError(tb, err)
		}
	}
	_, err := client.AuthEnable(ctx)
	require.NoError(tb, err)
}

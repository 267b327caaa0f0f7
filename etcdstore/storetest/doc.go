// Package storetest examines checkpoint stores: whether they do what Event Hubs' clients expect of one, and what
// [etcdstore] promises beyond that.
//
// A store's own test calls [Run] with a function that opens a store, and with what the store can do that not every
// store can. Each test has a group to itself, so that one backend serves them all, and works with two stores at least,
// as two processes would:
//
//	func TestConformance(t *testing.T) {
//		client := newClient(t) // of an etcd that the test has started
//		storetest.Run(t, func(t *testing.T) etcdstore.CheckpointStore { return open(t, client) }, storetest.Capabilities{
//			Fences: true,
//			Etcd:   client,
//		})
//	}
//
// Errors have to be those of [etcdstore]. What a store does not declare is skipped, and said so.
package storetest

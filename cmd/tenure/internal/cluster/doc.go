// Package cluster connects a command to its etcd: it builds the client from the command's settings, or starts the etcd
// behind --dev, and finds out before any work begins whether that etcd can be worked with. Whatever cannot is told as a
// [problem.Error].
package cluster

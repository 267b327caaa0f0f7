// Command etcd36 is etcd 3.6, for tests against the servers that people have.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }

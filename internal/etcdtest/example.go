package etcdtest

import (
	"log"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// StartForExample runs an etcd for an example, which has no test to fail.
func StartForExample() (endpoint string, stop func()) {
	dir, err := os.MkdirTemp("", "tenure-example")
	if err != nil {
		log.Panic(err)
	}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = anyPort, anyPort
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		log.Panic(err)
	}
	<-server.Server.ReadyNotify()
	return server.Clients[0].Addr().String(), func() {
		server.Close()
		_ = os.RemoveAll(dir)
	}
}

package eventhubs_test

import (
	"bufio"
	"log"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// startHubAndEtcd runs an etcd, and a stand-in for a hub with three events, for the example.
func startHubAndEtcd() (connectionString, endpoint string, stop func()) {
	connectionString, stopHub := startHub()
	endpoint, stopEtcd := startEtcd()
	return connectionString, endpoint, func() {
		stopEtcd()
		stopHub()
	}
}

func startHub() (connectionString string, stop func()) {
	hub := exec.Command("go", "run", "github.com/tenure-go/tenure/integration/internal/standin/serve", "-events", "3")
	hub.Stderr = os.Stderr
	stdin, err := hub.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	stdout, err := hub.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := hub.Start(); err != nil {
		log.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(line), func() {
		_ = stdin.Close()
		if err := hub.Wait(); err != nil {
			log.Fatal(err)
		}
	}
}

func startEtcd() (endpoint string, stop func()) {
	dir, err := os.MkdirTemp("", "tenure-example")
	if err != nil {
		log.Fatal(err)
	}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = anyPort, anyPort
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		log.Fatal(err)
	}
	<-server.Server.ReadyNotify()
	return server.Clients[0].Addr().String(), func() {
		server.Close()
		_ = os.RemoveAll(dir)
	}
}

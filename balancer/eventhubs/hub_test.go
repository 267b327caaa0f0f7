package eventhubs_test

import (
	"bufio"
	"log"
	"os"
	"os/exec"
	"strings"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// startHubAndEtcd runs an etcd, and a stand-in for a hub with three events, for the example.
func startHubAndEtcd() (connectionString, endpoint string, stop func()) {
	connectionString, stopHub := startHub()
	endpoint, stopEtcd := etcdtest.StartForExample()
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

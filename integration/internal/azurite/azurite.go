// Package azurite runs Azure Storage's emulator for tests. It is not the service: it keeps blobs in memory, on this
// machine.
package azurite

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/node"
)

// Account and Key are those that every Azurite has.
const (
	Account = "devstoreaccount1"
	Key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Server is a running Azurite.
type Server struct {
	// Node is the program that runs it, and Clients the folder of its package and of the clients for JavaScript.
	Node, Clients string

	address string
}

// Start starts one that ends with the test. Where there is no Node that can run it, it skips the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{Clients: clients()}
	var err error
	if s.Node, err = node.Find(); errors.Is(err, node.ErrNone) {
		tb.Skip(err)
	}
	require.NoError(tb, err)
	require.NoError(tb, node.Install(s.Clients))
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	require.NoError(tb, err)
	s.address = listener.Addr().String()
	host, port, err := net.SplitHostPort(s.address)
	require.NoError(tb, err)
	require.NoError(tb, listener.Close())
	command := exec.Command(s.Node, "node_modules/azurite/dist/src/blob/main.js", "--inMemoryPersistence", "--silent",
		"--skipApiVersionCheck", "--disableTelemetry", "--blobHost", host, "--blobPort", port)
	command.Dir = s.Clients
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	require.NoError(tb, command.Start())
	tb.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // It was killed.
	})
	require.Eventually(tb, func() bool {
		connection, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	}, time.Minute, 50*time.Millisecond, "Azurite listens")
	return s
}

// ConnectionString is that of the storage account.
func (s *Server) ConnectionString() string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=http://%s/%s;",
		Account, Key, s.address, Account)
}

// clients finds integration/blobs/clients from this file's place.
func clients() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "blobs", "clients")
}

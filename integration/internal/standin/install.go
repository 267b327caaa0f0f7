package standin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tenure-go/tenure/integration/internal/node"
)

// ErrNoNode means that this machine has no Node, or none that can run the server.
var ErrNoNode = node.ErrNone

// install installs the server's packages unless they are there, and returns the server's directory.
func install() (string, error) {
	dir, err := serverDir()
	if err != nil {
		return "", err
	}
	return dir, node.Install(dir)
}

// serverDir finds integration/standin from this file's place; with -trimpath, from the working directory, which go test
// sets to the package's.
func serverDir() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "standin")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	at, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find integration/standin: %w", err)
	}
	for ; ; at = filepath.Dir(at) {
		dir := filepath.Join(at, "integration", "standin")
		if _, err := os.Stat(filepath.Join(dir, "server.js")); err == nil {
			return dir, nil
		}
		if at == filepath.Dir(at) {
			return "", errors.New("integration/standin is not above the working directory")
		}
	}
}

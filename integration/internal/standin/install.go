package standin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// oldestNode is the oldest major version of Node that runs the server.
const oldestNode = 20

// ErrNoNode means that this machine has no Node, or none that can run the server.
var ErrNoNode = fmt.Errorf("the stand-in for Event Hubs needs Node %d or later", oldestNode)

// findNode returns the path of Node.
func findNode() (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("%w, which is not installed: %w", ErrNoNode, err)
	}
	out, err := exec.Command(node, "--version").Output()
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, convErr := strconv.Atoi(major); err != nil || convErr != nil || n < oldestNode {
		return "", fmt.Errorf("%w; %s is %q", ErrNoNode, node, version)
	}
	return node, nil
}

// install installs the server's packages unless they are there, and returns the server's directory. Test binaries of
// several packages run at once, so one of them installs while the others wait for its lock.
func install() (string, error) {
	dir, err := serverDir()
	if err != nil {
		return "", err
	}
	lock := flock.New(filepath.Join(dir, ".install.lock"))
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("lock the installation: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if installed(dir) {
		return dir, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("%w and npm, which is not installed: %w", ErrNoNode, err)
	}
	cmd := exec.Command(npm, "ci")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install its packages with npm ci in %s: %w\n%s", dir, err, out)
	}
	return dir, nil
}

// installed reports whether the packages are those of the lock file: npm writes a copy of it when it has finished.
func installed(dir string) bool {
	wanted, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return false
	}
	present, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	return err == nil && !present.ModTime().Before(wanted.ModTime())
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

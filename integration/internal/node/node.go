// Package node has what tests need of Node: it finds one that is new enough, and installs packages from a lock file.
package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// oldest is the oldest major version of Node that runs what is here.
const oldest = 20

// ErrNone means that this machine has no Node, or none that is new enough.
var ErrNone = fmt.Errorf("this needs Node %d or later", oldest)

// Find returns the path of Node.
func Find() (string, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("%w, which is not installed: %w", ErrNone, err)
	}
	out, err := exec.Command(node, "--version").Output()
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, convErr := strconv.Atoi(major); err != nil || convErr != nil || n < oldest {
		return "", fmt.Errorf("%w; %s is %q", ErrNone, node, version)
	}
	return node, nil
}

// Install installs the packages of a directory's lock file unless they are there. Test binaries of several packages run
// at once, so one of them installs while the others wait for its lock.
func Install(dir string) error {
	lock := flock.New(filepath.Join(dir, ".install.lock"))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock the installation: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if installed(dir) {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("%w and npm, which is not installed: %w", ErrNone, err)
	}
	cmd := exec.Command(npm, "ci")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install its packages with npm ci in %s: %w\n%s", dir, err, out)
	}
	return nil
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

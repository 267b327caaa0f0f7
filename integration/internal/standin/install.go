package standin

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/gofrs/flock"
)

// oldestNode is the oldest major version of Node that runs the server.
const oldestNode = 20

// findNode returns the path of Node, or skips the test and says why.
func findNode(tb testing.TB) string {
	tb.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		tb.Skipf("the stand-in for Event Hubs needs Node %d or later, which is not installed: %v", oldestNode, err)
	}
	out, err := exec.CommandContext(tb.Context(), node, "--version").Output()
	version := strings.TrimSpace(string(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, convErr := strconv.Atoi(major); err != nil || convErr != nil || n < oldestNode {
		tb.Skipf("the stand-in for Event Hubs needs Node %d or later; %s is %q", oldestNode, node, version)
	}
	return node
}

// install installs the server's packages unless they are there, and returns the server's directory. Test binaries of
// several packages run at once, so one of them installs while the others wait for its lock.
func install(tb testing.TB) string {
	tb.Helper()
	dir := serverDir(tb)
	lock := flock.New(filepath.Join(dir, ".install.lock"))
	if err := lock.Lock(); err != nil {
		tb.Fatalf("stand-in: lock the installation: %v", err)
	}
	defer func() { _ = lock.Close() }()
	if installed(dir) {
		return dir
	}
	cmd := exec.CommandContext(tb.Context(), "npm", "ci")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("stand-in: install its packages with npm ci in %s: %v\n%s", dir, err, out)
	}
	return dir
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
func serverDir(tb testing.TB) string {
	tb.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "standin")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	at, err := os.Getwd()
	if err != nil {
		tb.Fatalf("stand-in: %v", err)
	}
	for ; ; at = filepath.Dir(at) {
		dir := filepath.Join(at, "integration", "standin")
		if _, err := os.Stat(filepath.Join(dir, "server.js")); err == nil {
			return dir
		}
		if at == filepath.Dir(at) {
			tb.Fatal("stand-in: integration/standin is not above the working directory")
		}
	}
}

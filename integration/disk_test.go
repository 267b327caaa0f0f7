package integration_test

import (
	"github.com/tenure-go/tenure/integration/internal/build"
)

// slowDisk changes etcd so that a member waits before each sync of its log for as long as the file "slow" in its folder
// says.
func slowDisk() []build.Edit {
	edit := build.Edit{Module: "go.etcd.io/etcd/client/pkg/v3", Package: "fileutil", File: "sync_linux.go"}
	imports, sync := edit, edit
	imports.Old, imports.New = `import (`, "import (\n\t\"path/filepath\"\n\t\"time\""
	sync.Old = `	return syscall.Fdatasync(int(f.Fd()))`
	sync.New = `	folder := filepath.Dir(filepath.Dir(filepath.Dir(f.Name())))
	if text, err := os.ReadFile(filepath.Join(folder, "slow")); err == nil {
		if wait, err := time.ParseDuration(string(text)); err == nil {
			time.Sleep(wait) // as a slow disk blocks who syncs: this runs in etcd, and nobody could wake it
		}
	}
` + sync.Old
	return []build.Edit{imports, sync}
}

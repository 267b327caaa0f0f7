package devetcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coreos/go-semver/semver"
	"github.com/gofrs/flock"
)

// folder is the data folder, with the names of what is in it.
type folder string

func (f folder) clientsLock() *flock.Flock { return flock.New(filepath.Join(string(f), "clients")) }
func (f folder) serverLock() *flock.Flock  { return flock.New(filepath.Join(string(f), "server")) }
func (f folder) startLock() *flock.Flock   { return flock.New(filepath.Join(string(f), "start")) }
func (f folder) logFile() string           { return filepath.Join(string(f), "log") }
func (f folder) dataDir() string           { return filepath.Join(string(f), "data") }
func (f folder) addressFile() string       { return filepath.Join(string(f), "address") }
func (f folder) versionFile() string       { return filepath.Join(string(f), "version") }

// create makes the folder, for this user only, and reports a folder that cannot be written.
func (f folder) create() error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return fmt.Errorf("the --dev data folder cannot be made: %w", err)
	}
	probe, err := os.CreateTemp(string(f), ".probe-*")
	if err != nil {
		return fmt.Errorf("the --dev data folder cannot be written: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// address says where the folder's server listens. The cluster id tells this folder's server from whatever else may have
// taken the port since.
type address struct {
	Endpoint  string `json:"endpoint"`
	ClusterID uint64 `json:"cluster_id,string"`
	PID       int    `json:"pid"`
}

// readAddress returns the zero address when there is none, or none that can be read.
func (f folder) readAddress() address {
	raw, err := os.ReadFile(f.addressFile())
	if err != nil {
		return address{}
	}
	var a address
	if json.Unmarshal(raw, &a) != nil {
		return address{}
	}
	return a
}

func (f folder) writeAddress(a address) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode the address: %w", err)
	}
	return replaceFile(f.addressFile(), append(raw, '\n'))
}

// ErrNewerData means that the folder's data was written by a newer etcd than this program has.
var ErrNewerData = errors.New("the --dev data was written by a newer etcd")

// checkVersion refuses data of a newer minor version, which etcd itself would refuse less clearly.
func (f folder) checkVersion(own string) error {
	raw, err := os.ReadFile(f.versionFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the version of the --dev data: %w", err)
	}
	written, err := semver.NewVersion(strings.TrimSpace(string(raw)))
	if err != nil {
		return fmt.Errorf("the file %s does not hold a version: %w", f.versionFile(), err)
	}
	mine, err := semver.NewVersion(own)
	if err != nil {
		return fmt.Errorf("this program's etcd version: %w", err)
	}
	if written.Major > mine.Major || written.Major == mine.Major && written.Minor > mine.Minor {
		return fmt.Errorf("%w: %s, and this program has %s; use a newer tenure, or another folder with --dev-dir",
			ErrNewerData, written, mine)
	}
	return nil
}

func (f folder) writeVersion(own string) error { return replaceFile(f.versionFile(), []byte(own+"\n")) }

// replaceFile writes by rename, so that a reader sees the old content or the new.
func replaceFile(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(temporary.Name()))
	}
	return nil
}

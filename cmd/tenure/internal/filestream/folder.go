package filestream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"go.uber.org/zap"
)

// Folder is a stream whose partitions are the files of a folder. It is safe for concurrent use.
type Folder struct {
	path    string
	log     *zap.Logger
	lookout lookout

	mu       sync.Mutex
	unusable map[string]bool // names that the log has told of
}

// Open returns the folder with that path. The error says that it is none, or cannot be read.
func Open(path string, log *zap.Logger) (*Folder, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, cause("look at the folder", path, err)
	case !info.IsDir():
		return nil, fmt.Errorf("%s is no folder", path)
	}
	f := &Folder{
		path: path, log: log, unusable: make(map[string]bool), lookout: lookout{waiting: make(map[*waiter]struct{})},
	}
	_, err = f.Partitions(context.Background())
	return f, err
}

// Partitions returns the names of the files that are there now, in order.
func (f *Folder) Partitions(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, cause("read the folder", f.path, err)
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case !entry.Type().IsRegular() || strings.HasPrefix(name, "."):
		case !utf8.ValidString(name):
			f.passOver(name)
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// passOver tells once of a file whose name cannot be a partition's.
func (f *Folder) passOver(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unusable[name] {
		return
	}
	f.unusable[name] = true
	f.log.Warn("a file is not read: its name is no valid UTF-8", zap.String("folder", f.path),
		zap.String("file", fmt.Sprintf("%q", name)))
}

func (f *Folder) file(name string) string { return filepath.Join(f.path, name) }

// cause gives an error of the file system without its own path and call, which say less than ours.
func cause(doing, path string, err error) error {
	if of, ok := errors.AsType[*os.PathError](err); ok {
		err = of.Err
	}
	return fmt.Errorf("%s %s: %w", doing, path, err)
}

// Behind returns how many complete lines a file has from a place on.
func (f *Folder) Behind(ctx context.Context, name string, from Start) (int64, error) {
	file, err := os.Open(f.file(name))
	if err != nil {
		return 0, cause("open", f.file(name), err)
	}
	defer file.Close() //nolint:errcheck // It was only read.
	begin, err := from.find(ctx, file)
	if err != nil {
		return 0, err
	}
	end, err := count(ctx, file, begin, math.MaxInt64, math.MaxInt64)
	return end.line - begin.line, err
}

// End returns the number of a file's last complete line, -1 if there is none, and the byte behind it.
func (f *Folder) End(ctx context.Context, name string) (line, offset int64, err error) {
	file, err := os.Open(f.file(name))
	if err != nil {
		return 0, 0, cause("open", f.file(name), err)
	}
	defer file.Close() //nolint:errcheck // It was only read.
	found, err := Latest().find(ctx, file)
	return found.line - 1, found.offset, err
}

// Package build builds commands of this module for tests, as they are or with changes of the source, of this module's
// or of a dependency's. No file is touched: the go command is told to read other ones (its -overlay and -modfile). So
// what only tests need, such as defects that checks have to find, stays out of the code.
package build

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/tenure-go/tenure/"

// Std as a module is Go's own library.
const Std = "std"

// Edit is a change of one file.
type Edit struct {
	Module  string // "" for this one
	Package string // within the module
	File    string
	Old     string // stands in the file exactly once
	New     string
}

// Command builds a command of this module, with edits, into a folder and returns its path. The working directory has to
// be in the module.
func Command(dir, command string, edits ...Edit) (string, error) {
	binary := filepath.Join(dir, path.Base(command))
	if err := run(dir, edits, "build", "-o", binary, module+command); err != nil {
		return "", fmt.Errorf("build %s: %w", command, err)
	}
	return binary, nil
}

// Test is [Command] for the tests of a package.
func Test(dir, tested string, edits ...Edit) (string, error) {
	binary := filepath.Join(dir, path.Base(tested)+".test")
	if err := run(dir, edits, "test", "-c", "-o", binary, module+tested); err != nil {
		return "", fmt.Errorf("build the tests of %s: %w", tested, err)
	}
	return binary, nil
}

// Fits reports what does not fit the source any more.
func Fits(edits ...Edit) error {
	ours := make(sources)
	for _, e := range edits {
		if err := ours.edit(e.importPath(), e); err != nil {
			return err
		}
	}
	return nil
}

func (e Edit) importPath() string {
	if e.Module == Std {
		return e.Package
	}
	return path.Join(cmp.Or(e.Module, module), e.Package)
}

func run(dir string, edits []Edit, verb string, args ...string) error {
	ours, theirs := make(sources), make(sources)
	var replaced []string
	for _, e := range edits {
		if e.Module == "" || e.Module == Std {
			if err := ours.edit(e.importPath(), e); err != nil {
				return err
			}
			continue
		}
		if err := theirs.edit(e.importPath(), e); err != nil {
			return err
		}
		replaced = append(replaced, e.Module)
	}
	if len(ours) > 0 {
		overlay, err := ours.overlay(dir)
		if err != nil {
			return err
		}
		args = append([]string{"-overlay", overlay}, args...)
	}
	if len(theirs) > 0 {
		modfile, err := theirs.replace(dir, slices.Compact(replaced))
		if err != nil {
			return err
		}
		args = append([]string{"-modfile", modfile}, args...)
	}
	return command("go", append([]string{verb}, args...)...)
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// output returns what a command prints, without the end of the line.
func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// sources are files with changes, by path.
type sources map[string]string

func (s sources) edit(of string, e Edit) error {
	dir, err := output("go", "list", "-f", "{{.Dir}}", of)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, e.File)
	text, ok := s[file]
	if !ok {
		read, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read what is to be changed: %w", err)
		}
		text = string(read)
	}
	if n := strings.Count(text, e.Old); n != 1 {
		return fmt.Errorf("%s/%s holds %d times instead of once: %s", e.Package, e.File, n, e.Old)
	}
	s[file] = strings.Replace(text, e.Old, e.New, 1)
	return nil
}

// overlay writes the files into a folder, with the list of them that the go command wants, and returns its path.
func (s sources) overlay(dir string) (string, error) {
	replace := make(map[string]string)
	for file, text := range s {
		to := filepath.Join(dir, strconv.Itoa(len(replace))+"-"+filepath.Base(file))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write what is changed: %w", err)
		}
		replace[file] = to
	}
	encoded, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("list what is changed: %w", err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, encoded, 0o600); err != nil {
		return "", fmt.Errorf("list what is changed: %w", err)
	}
	return list, nil
}

// replace copies modules into a folder, with the files in place of theirs, since the go command does not take others
// for those of its cache. It returns the path of a go.mod that uses the copies.
func (s sources) replace(dir string, modules []string) (string, error) {
	ours, err := output("go", "list", "-m", "-f", "{{.GoMod}}")
	if err != nil {
		return "", err
	}
	modfile := filepath.Join(dir, "go.mod")
	for from, to := range map[string]string{
		ours: modfile, filepath.Join(filepath.Dir(ours), "go.sum"): filepath.Join(dir, "go.sum"),
	} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o600)
		}
		if err != nil {
			return "", fmt.Errorf("copy %s: %w", filepath.Base(from), err)
		}
	}
	for i, m := range modules {
		from, err := output("go", "list", "-m", "-f", "{{.Dir}}", m)
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, "module"+strconv.Itoa(i))
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			return "", fmt.Errorf("copy module %s: %w", m, err)
		}
		for file, text := range s {
			within, err := filepath.Rel(from, file)
			if err != nil || strings.HasPrefix(within, "..") {
				continue
			}
			changed := filepath.Join(to, within)
			if err := errors.Join(os.Chmod(changed, 0o600), os.WriteFile(changed, []byte(text), 0o600)); err != nil {
				return "", fmt.Errorf("write what is changed: %w", err)
			}
		}
		if err := command("go", "mod", "edit", "-replace", m+"="+to, modfile); err != nil {
			return "", err
		}
	}
	return modfile, nil
}

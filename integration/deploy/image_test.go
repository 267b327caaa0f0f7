package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/require"
)

// The Dockerfile parses, and its build makes a binary that needs nothing from its image.
func TestTheImageIsBuilt(t *testing.T) {
	file, err := os.Open("../../deploy/Dockerfile")
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // It was only read.
	parsed, err := parser.Parse(file)
	require.NoError(t, err)
	require.Empty(t, parsed.Warnings)
	stages, _, err := instructions.Parse(parsed.AST, nil)
	require.NoError(t, err)
	require.Len(t, stages, 2)

	var build string
	for _, command := range stages[0].Commands {
		if run, is := command.(*instructions.RunCommand); is {
			build = strings.Join(run.CmdLine, " ")
		}
	}
	binary := filepath.Join(t.TempDir(), "tenure")
	require.Contains(t, build, "-o /tenure ")
	command := exec.Command("sh", "-c", strings.Replace(build, "-o /tenure ", "-o "+binary+" ", 1))
	command.Dir = "../.."
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s: %s", build, out)
	program, err := elf.Open(binary)
	require.NoError(t, err)
	defer program.Close() //nolint:errcheck // It was only read.
	for _, segment := range program.Progs {
		require.NotEqual(t, elf.PT_INTERP, segment.Type, "the binary is static")
	}
	var user string
	for _, command := range stages[1].Commands {
		if set, is := command.(*instructions.UserCommand); is {
			user = set.User
		}
	}
	require.Equal(t, "65532:65532", user)
	require.NoError(t, exec.Command(binary, "version").Run())
}

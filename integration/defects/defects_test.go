package defects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/build"
	"github.com/tenure-go/tenure/integration/internal/sameorder"
)

// Whoever changes what a defect changes has to think it over.
func TestDefectsFitTheCode(t *testing.T) {
	t.Parallel()
	for _, defect := range All() {
		require.NoError(t, build.Fits(defect.Edits...), defect.Name)
	}
}

// budget is how long a test looks for a defect. TENURE_DEFECTS sets it, as a duration, and has the defects looked for.
const budgetEnv = "TENURE_DEFECTS"

// Every defect is found by the test that is to find it. What has found it, and how fast, is printed.
func TestDefectsAreFound(t *testing.T) {
	t.Parallel()
	if os.Getenv(budgetEnv) == "" {
		t.Skip("make defects looks for them: each is built into a test of its own")
	}
	budget, err := time.ParseDuration(os.Getenv(budgetEnv))
	require.NoError(t, err)
	for _, defect := range All() {
		t.Run(strings.ReplaceAll(defect.Name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			edits := defect.Edits
			if defect.By == simulation {
				edits = slices.Concat(edits, sameorder.Edits())
			}
			binary, err := build.Test(t.TempDir(), defect.By.Package, edits...)
			require.NoError(t, err)
			found, took := look(t, binary, defect.By, budget)
			require.NotEmpty(t, found, "not found in %v: a check is missing", took)
			fmt.Printf("%-52s found by %s in %5.1f s: %s\n", defect.Name, defect.By.Test, took.Seconds(), found)
		})
	}
}

// look runs a test and returns what it has found.
func look(t *testing.T, binary string, by Finder, budget time.Duration) (found string, took time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), budget+30*time.Second)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run", "^"+by.Test+"$", "-test.v")
	run.Env = append(os.Environ(), "TENURE_SIMULATE="+budget.String())
	run.Dir = "../../" + by.Package
	out, err := run.CombinedOutput()
	took = time.Since(began)
	if failed, ok := errors.AsType[*exec.ExitError](err); !ok || !failed.Exited() && ctx.Err() != nil {
		return "", took
	}
	return whatFailed(string(out)), took
}

var (
	check = regexp.MustCompile(
		`(?m)^ {8}(a|no|handlers|every|checkpoints|what|trust|claims,|nothing|etcd is) [^\n]*: `)
	failure  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	panicked = regexp.MustCompile(`(?m)^panic: .*`)
)

// whatFailed returns the check that a simulation names, or the test that has failed, or the panic.
func whatFailed(out string) string {
	if match := check.FindString(out); match != "" {
		name, _, _ := strings.Cut(strings.TrimSpace(match), ":")
		return name
	}
	if match := panicked.FindString(out); match != "" {
		return match
	}
	all := failure.FindAllStringSubmatch(out, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

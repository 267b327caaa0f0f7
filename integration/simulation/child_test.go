package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/integration/internal/sameorder"
)

// Each group is simulated by a process of its own, as what ran before in one decides what comes of the next: which
// buffers there are to be used again, what was made when it was first needed.
const (
	resultEnv = "TENURE_SIMULATE_RESULT" // the file that takes the outcome
	seedEnv   = "TENURE_SIMULATE_SEED"
)

// limit is how long a process may take. One that takes longer waits for something that never comes.
const limit = time.Minute

// TestOneGroup is what such a process does.
func TestOneGroup(t *testing.T) {
	path := os.Getenv(resultEnv)
	if path == "" {
		t.Skip("TestSimulatedGroups runs it, in processes of their own")
	}
	seed, err := strconv.ParseUint(os.Getenv(seedEnv), 10, 64)
	require.NoError(t, err)
	cryptotest.SetGlobalRandom(t, seed)
	encoded, err := json.Marshal(simulate(t, seed))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, encoded, 0o600))
}

// played simulates a group in a process of its own.
func played(parent context.Context, folder string, seed uint64) (result outcome, err error) {
	if folder, err = os.MkdirTemp(folder, ""); err != nil {
		return outcome{}, fmt.Errorf("make a folder: %w", err)
	}
	ctx, cancel := context.WithTimeout(parent, limit)
	defer cancel()
	number, path := strconv.FormatUint(seed, 10), filepath.Join(folder, "outcome")
	run := exec.CommandContext(ctx, program, "-test.run", "^TestOneGroup$", "-test.v")
	run.Env = append(append(os.Environ(), sameorder.Environment(number)...),
		resultEnv+"="+path, seedEnv+"="+number, "TMPDIR="+folder)
	var printed bytes.Buffer
	run.Stdout, run.Stderr = &printed, &printed
	if os.Getenv(logEnv) != "" {
		run.Stdout, run.Stderr = os.Stdout, os.Stderr
	}
	if err := run.Run(); err != nil {
		if parent.Err() != nil {
			return outcome{}, context.Cause(parent)
		}
		const last = 20_000
		said := printed.Bytes()
		said = said[max(0, len(said)-last):]
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return outcome{Violations: proof.Violations{{
			Check: proof.Ends, Text: fmt.Sprintf("%v\n%s", err, said),
		}}}, nil
	}
	encoded, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(encoded, &result)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("read what became of seed %d: %w", seed, err)
	}
	return result, nil
}

package top

import (
	"context"
	"fmt"
	"os"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
	"github.com/tenure-go/tenure/etcdstore"
)

// Config says what is shown, and where.
type Config struct {
	Terminal *os.File
	Colours  bool

	Store  *etcdstore.Store
	Mirror *etcdstore.Mirror // with checkpoints

	// Lags asks the stream how many events each partition is behind, every ten seconds. It may be nil.
	Lags func(ctx context.Context, s *etcdstore.Snapshot) (map[string]*int64, error)
}

// Run shows a group until q is pressed or ctx ends.
func Run(ctx context.Context, config Config) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	program := screen.NewProgram(config.Terminal, &model{Config: config, ctx: ctx, quit: quit})
	defer context.AfterFunc(ctx, program.Quit)()
	if _, err := program.Run(); err != nil {
		return fmt.Errorf("draw on the terminal: %w", err)
	}
	if err := config.Mirror.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("follow the group: %w", err)
	}
	return nil
}

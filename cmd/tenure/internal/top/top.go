package top

import (
	"context"
	"fmt"
	"os"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
	"github.com/tenure-go/tenure/etcdstore"
)

// Run shows a group on a terminal until q is pressed or ctx ends. The mirror has to hold checkpoints.
func Run(ctx context.Context, terminal *os.File, store *etcdstore.Store, mirror *etcdstore.Mirror, colours bool) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	program := screen.NewProgram(terminal, &model{
		source: source{store, mirror}, ctx: ctx, quit: quit, colours: colours,
	})
	defer context.AfterFunc(ctx, program.Quit)()
	if _, err := program.Run(); err != nil {
		return fmt.Errorf("draw on the terminal: %w", err)
	}
	if err := mirror.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("follow the group: %w", err)
	}
	return nil
}

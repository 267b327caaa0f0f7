package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// Errors of [Run] beside those that say what could not be done.
var (
	// ErrStopped: the demo was stopped before its end.
	ErrStopped = errors.New("stopped before its end")

	// ErrWrong: something is not as promised. What it is has been shown.
	ErrWrong = errors.New("something is not as promised")

	errOutput = errors.New("print")
)

// Config says how the demo is shown.
type Config struct {
	// Program is what members are processes of: the path of the tenure command.
	Program string

	// Called is how this program was called, for people who are told what to try next.
	Called string

	// Terminal is where the live view is drawn, nil for plain lines only.
	Terminal *os.File

	// Output takes what is to be read: lines as they come where there is no live view, and in the end the table.
	Output io.Writer
}

// Run plays the demo and returns nil if all came out as promised. ctx ends it early. When it returns, the processes and
// the etcd that it started have ended. Its folder is removed, or named where something went wrong.
func Run(ctx context.Context, config Config) error {
	if !supported {
		return errors.New("the demo runs on Linux and macOS only: it pauses processes by signals")
	}
	if config.Terminal != nil {
		return showLive(ctx, config)
	}
	say := func(l line) error {
		_, err := fmt.Fprintln(config.Output, said(l, screen.Ink{}))
		return err //nolint:wrapcheck // The scene says what it is.
	}
	return (&performance{config: config, scene: newScene(say)}).run(ctx)
}

// performance is one showing of the demo.
type performance struct {
	config Config
	scene  *scene
}

func (p *performance) run(ctx context.Context) (err error) {
	d := &director{stage{program: p.config.Program, scene: p.scene}}
	if err = d.set(ctx); err == nil {
		err = d.play(ctx)
	}
	if err == nil {
		err = p.close()
	}
	if ctx.Err() != nil {
		err = ErrStopped // whatever else has come of it
	}
	failed := err != nil && !errors.Is(err, ErrStopped) && !errors.Is(err, errOutput)
	if failed && d.folder != "" {
		words := d.lastWords()
		defer func() { _ = p.print("\n%sThese logs and all else are kept in %s\n", words, d.folder) }()
	}
	return errors.Join(err, d.clear(failed))
}

// close tells what came of it all.
func (p *performance) close() error {
	v := judge(p.scene.evidence())
	if err := p.print("\n%s", table(v)); err != nil {
		return err
	}
	if len(v.wrong) > 0 {
		return ErrWrong
	}
	return p.print("\n  All is as promised. Next, in two terminals:\n    %s\n", fmt.Sprintf(next, p.config.Called))
}

// next is what to try after the demo.
const next = "%s consume --dev --source files:. --group local/here/readers"

func (p *performance) print(format string, values ...any) error {
	if _, err := fmt.Fprintf(p.config.Output, format, values...); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

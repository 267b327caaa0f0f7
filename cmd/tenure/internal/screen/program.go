package screen

import (
	"os"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"
)

// NewProgram returns what draws a model on a terminal. Signals are the caller's. Where standard input is no terminal
// there are no keys, and signals end it.
func NewProgram(terminal *os.File, model tea.Model) *tea.Program {
	options := []tea.ProgramOption{tea.WithOutput(terminal), tea.WithoutSignalHandler()}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		options = append(options, tea.WithInput(nil))
	}
	return tea.NewProgram(model, options...)
}

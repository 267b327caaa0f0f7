package main

import (
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

const (
	formatConsole = "console"
	formatJSON    = "json"
)

// newLogger logs to w, in colour if that is a terminal.
func newLogger(w io.Writer, format, level string) (*zap.Logger, error) {
	threshold, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Usage, What: fmt.Sprintf("--log-level is %q", level),
			Do: "Use debug, info, warn or error."}
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch format {
	case formatJSON:
		encoder = zapcore.NewJSONEncoder(encoding)
	case formatConsole:
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoding.ConsoleSeparator = " "
		if isTerminal(w) {
			encoding.EncodeLevel = zapcore.CapitalColorLevelEncoder
		}
		encoder = zapcore.NewConsoleEncoder(encoding)
	default:
		return nil, &problem.Error{Kind: problem.Usage, What: fmt.Sprintf("--log-format is %q", format),
			Do: "Use console or json."}
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), threshold)), nil
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

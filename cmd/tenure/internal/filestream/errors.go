package filestream

import "fmt"

// What is wrong with a file that has changed.
const (
	tooShort  = "is shorter than that"
	noLineEnd = "has no end of a line there"
	renamed   = "another file has its name now"
)

// ChangedError says that a file is not the one of which lines were read up to Offset, or no longer has them.
type ChangedError struct {
	File   string
	Offset int64
	Size   int64
	What   string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s is to be read on from byte %d, and %s (it has %d bytes): it was truncated or replaced, and "+
		"files may only grow; put what is new into a file of another name and remove this one, or delete its "+
		"checkpoint to read it from the start", e.File, e.Offset, e.What, e.Size)
}

// LongLineError says that a line is longer than [MaxLine].
type LongLineError struct {
	File   string
	Line   int64 // its number
	Offset int64 // where it begins
}

func (e *LongLineError) Error() string {
	return fmt.Sprintf("line %d of %s, which begins at byte %d, is longer than %d bytes, the most that a line may have; "+
		"break it up, in a file of another name", e.Line, e.File, e.Offset, MaxLine)
}

package supervise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"
)

// maxSafeInteger is the largest integer that every JSON implementation can hold: JavaScript's numbers are doubles.
const maxSafeInteger = 1<<53 - 1

// position is how far a worker has handled its partition. One of the two at least is not nil.
type position struct {
	sequenceNumber *int64
	offset         *string
}

// fields are what the log shows of it.
func (p position) fields() []zap.Field {
	var fields []zap.Field
	if p.sequenceNumber != nil {
		fields = append(fields, zap.Int64("sequence_number", *p.sequenceNumber))
	}
	if p.offset != nil {
		fields = append(fields, zap.String("offset", *p.offset))
	}
	return fields
}

// parsePosition reads one line of descriptor 3. It is as strict as the readers of stored records are, and passes over
// no name that it does not know: a wrong one means that something else than what was meant would be stored.
func parsePosition(line []byte) (position, error) {
	var p position
	if !utf8.Valid(line) {
		return p, errors.New("not valid UTF-8")
	}
	fields, err := readObject(line)
	if err != nil {
		return p, err
	}
	for name, value := range fields {
		switch name {
		case "sequence_number":
			p.sequenceNumber, err = readSequenceNumber(value)
		case "offset":
			p.offset, err = readOffset(value)
		default:
			err = errors.New("there is no such field; those that there are: sequence_number, offset")
		}
		if err != nil {
			return position{}, fmt.Errorf("%s: %w", strconv.Quote(name), err)
		}
	}
	if p.sequenceNumber == nil && p.offset == nil {
		return p, errors.New("neither sequence_number nor offset")
	}
	return p, nil
}

// readObject reads one JSON object without anything behind it. It leaves out what is null.
func readObject(line []byte) (map[string]json.Token, error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New(`not a JSON object, such as {"sequence_number":7,"offset":"1234"}`)
	}
	seen := make(map[string]bool)
	fields := make(map[string]json.Token)
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errors.New("not valid JSON")
		}
		value, err := decoder.Token()
		if err != nil {
			return nil, errors.New("not valid JSON")
		}
		text, _ := name.(string) // A valid object has no others.
		if seen[text] {
			return nil, fmt.Errorf("%s: given twice", strconv.Quote(text))
		}
		seen[text] = true
		if _, nested := value.(json.Delim); nested {
			return nil, fmt.Errorf("%s: neither a number nor a string", strconv.Quote(text))
		}
		if value != nil {
			fields[text] = value
		}
	}
	if _, err := decoder.Token(); err != nil { // "}"
		return nil, errors.New("not valid JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return fields, nil
}

func readSequenceNumber(value json.Token) (*int64, error) {
	switch value := value.(type) {
	case json.Number:
		return readInteger(value)
	case string:
		if n, ok := canonicalInteger(value); ok {
			return &n, nil
		}
	}
	return nil, errors.New("not a decimal integer of 64 bits")
}

// readOffset reads a string, or an integer, whose text is then the offset.
func readOffset(value json.Token) (*string, error) {
	switch value := value.(type) {
	case json.Number:
		if _, err := readInteger(value); err != nil {
			return nil, err
		}
		offset := value.String()
		return &offset, nil
	case string:
		if strings.ContainsRune(value, utf8.RuneError) {
			return nil, errors.New("half of a surrogate pair, or U+FFFD, which stands for what was no character")
		}
		return &value, nil
	}
	return nil, errors.New("neither a string nor an integer")
}

func readInteger(number json.Number) (*int64, error) {
	n, ok := canonicalInteger(number.String())
	switch {
	case !ok:
		return nil, errors.New("not an integer of 64 bits")
	case n < -maxSafeInteger || n > maxSafeInteger:
		return nil, errors.New("an integer beyond 2^53-1 has to be a string: not every language can hold it")
	}
	return &n, nil
}

// canonicalInteger reads a decimal integer in the one form that printing it gives back.
func canonicalInteger(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

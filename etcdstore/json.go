package etcdstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// maxSafeInteger is the largest integer that every JSON implementation can hold: JavaScript's numbers are doubles.
const maxSafeInteger = 1<<53 - 1

// timeLayout is RFC 3339 with all nine digits of the nanoseconds, so that times sort as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// objectWriter appends the fields of one JSON object. It is written out because checkpoints are encoded tens of
// thousands of times a second.
type objectWriter struct{ buf []byte }

func (o *objectWriter) name(field string) {
	if o.buf == nil {
		o.buf = append(make([]byte, 0, 256), '{')
	} else {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(o.buf, '"')
	o.buf = append(o.buf, field...)
	o.buf = append(o.buf, '"', ':')
}

func (o *objectWriter) end() []byte { return append(o.buf, '}') }

func (o *objectWriter) text(field, s string) {
	o.name(field)
	o.buf = appendString(o.buf, s)
}

func (o *objectWriter) optional(field, s string) {
	if s != "" {
		o.text(field, s)
	}
}

func (o *objectWriter) texts(field string, all []string) {
	o.name(field)
	o.buf = append(o.buf, '[')
	for i, s := range all {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.buf = appendString(o.buf, s)
	}
	o.buf = append(o.buf, ']')
}

// flag writes that something is so. What is not so is left out.
func (o *objectWriter) flag(field string) {
	o.name(field)
	o.buf = append(o.buf, "true"...)
}

func (o *objectWriter) time(field string, t time.Time) {
	o.name(field)
	o.buf = append(o.buf, '"')
	o.buf = t.UTC().AppendFormat(o.buf, timeLayout)
	o.buf = append(o.buf, '"')
}

func (o *objectWriter) sequenceNumber(field string, n int64) {
	o.name(field)
	if isSafe(n) {
		o.buf = strconv.AppendInt(o.buf, n, 10)
		return
	}
	o.buf = append(o.buf, '"')
	o.buf = strconv.AppendInt(o.buf, n, 10)
	o.buf = append(o.buf, '"')
}

func (o *objectWriter) offset(field, s string) {
	o.name(field)
	if n, ok := canonicalInteger(s); ok && isSafe(n) {
		o.buf = append(o.buf, s...)
		return
	}
	o.buf = appendString(o.buf, s)
}

// appendString appends s as a JSON string and escapes no more than JSON demands.
func appendString(buf []byte, s string) []byte {
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	plain := 0 // s is copied from here on
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		buf = append(buf, s[plain:i]...)
		plain = i + 1
		if c < ' ' {
			buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		} else {
			buf = append(buf, '\\', c)
		}
	}
	buf = append(buf, s[plain:]...)
	return append(buf, '"')
}

func isSafe(n int64) bool { return -maxSafeInteger <= n && n <= maxSafeInteger }

// canonicalInteger reads a decimal integer in the one form that printing it gives back: no sign but a minus, no
// leading zero, no "-0".
func canonicalInteger(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false
	}
	var digits [20]byte
	return n, string(strconv.AppendInt(digits[:0], n, 10)) == s
}

// field is one field of a JSON object that readObject looks for. The type of into decides what is read: *string a
// string, *[]string an array of them, *bool true or false, *int an integer, *time.Time a time, **int64 a sequence
// number, **string an offset.
type field struct {
	name  string
	into  any
	found bool // given, and not null
	seen  bool // given
}

// readObject fills fields from a JSON object. A field that is null counts as absent, one that is not asked for is
// passed over. The error is a *fieldError. Names are matched byte for byte, which encoding/json's own structs would
// not do.
func readObject(value []byte, fields []field) error {
	whole := func(reason string) error { return &fieldError{Value: string(value), Err: errors.New(reason)} }
	if !utf8.Valid(value) {
		return whole("not valid UTF-8")
	}
	var few [8]rawField
	all, ok := flatFields(few[:0], value)
	if !ok {
		if !json.Valid(value) {
			return whole("not valid JSON")
		}
		inside := bytes.Trim(value, jsonSpace)
		if inside[0] != '{' {
			return whole("not a JSON object")
		}
		all = anyFields(few[:0], inside)
	}
	for _, f := range all {
		if err := readField(fields, f); err != nil {
			return err
		}
	}
	return nil
}

// rawField is a field as JSON has it.
type rawField struct{ name, value []byte }

// flatFields appends the fields of an object in the form that records usually have: without space around its tokens,
// with strings that have no escapes, and else integers, true, false and null. That is told from what is not JSON at a
// glance, where all that JSON allows takes several times as long. ok is false for everything else.
func flatFields(to []rawField, s []byte) (all []rawField, ok bool) {
	if len(s) == 0 || s[0] != '{' {
		return nil, false
	}
	for s[0] != '}' {
		s = s[1:] // after "{" or ","
		n := flatString(s)
		if n < 0 || n >= len(s) || s[n] != ':' {
			return nil, false
		}
		name, rest := s[:n], s[n+1:]
		if n = flatString(rest); n < 0 {
			n = flatLiteral(rest)
		}
		if n < 0 || n >= len(rest) || rest[n] != ',' && rest[n] != '}' {
			return nil, false
		}
		to, s = append(to, rawField{name, rest[:n]}), rest[n:]
	}
	return to, len(s) == 1
}

// flatString returns the length of the string without escapes that s begins with, quotes included, or -1 for none.
func flatString(s []byte) int {
	if len(s) == 0 || s[0] != '"' {
		return -1
	}
	for i, c := range s[1:] {
		switch {
		case c == '"':
			return i + 2
		case c == '\\' || c < ' ':
			return -1
		}
	}
	return -1
}

// flatLiteral returns the length of the integer, true, false or null that s begins with, or -1 for none.
func flatLiteral(s []byte) int {
	n := 0
	for n < len(s) && s[n] != ',' && s[n] != '}' {
		n++
	}
	switch string(s[:n]) {
	case "true", "false", "null":
		return n
	}
	if _, ok := canonicalInteger(string(s[:n])); !ok {
		return -1
	}
	return n
}

// anyFields appends the fields of an object that is known to be valid, so that its end need not be looked for.
func anyFields(to []rawField, s []byte) []rawField {
	for s[0] != '}' {
		s = bytes.TrimLeft(s[1:], jsonSpace) // after "{" or ","
		if s[0] == '}' {
			break
		}
		var f rawField
		f.name, s = cutValue(s)
		f.value, s = cutValue(bytes.TrimLeft(s[1:], jsonSpace)) // after ":"
		to = append(to, f)
	}
	return to
}

// jsonSpace is what JSON allows between its tokens.
const jsonSpace = " \t\r\n"

// cutValue splits the inside of a valid JSON object after its first name or value and the space behind that.
func cutValue(s []byte) (value, rest []byte) {
	depth := 0
	for i := 0; ; i++ {
		switch s[i] {
		case '"':
			for i++; s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case ',', ':', '}', ']':
			if depth == 0 {
				return bytes.TrimRight(s[:i], jsonSpace), s[i:]
			}
			if s[i] == '}' || s[i] == ']' {
				depth--
			}
		}
	}
}

// readField puts one field's value where it is wanted.
func readField(fields []field, given rawField) error {
	raw := given.value
	name, err := unquote(given.name)
	if err != nil {
		return &fieldError{Field: string(given.name), Value: string(raw), Err: err}
	}
	var f *field
	for i := range fields {
		if fields[i].name == string(name) {
			f = &fields[i]
		}
	}
	if f == nil {
		return nil
	}
	if f.seen {
		return &fieldError{Field: f.name, Value: string(raw), Err: errors.New("given twice")}
	}
	f.seen = true
	if string(raw) == "null" {
		return nil
	}
	f.found = true
	switch into := f.into.(type) {
	case *string:
		*into, err = readText(raw)
	case *int:
		var n *int64
		if n, err = readInteger(raw); err == nil {
			*into = int(*n)
		}
	case *[]string:
		*into, err = readTexts(raw)
	case *bool:
		*into, err = readFlag(raw)
	case *time.Time:
		*into, err = readTime(raw)
	case **int64:
		*into, err = readSequenceNumber(raw)
	case **string:
		*into, err = readOffset(raw)
	}
	if err != nil {
		return &fieldError{Field: f.name, Value: string(raw), Err: err}
	}
	return nil
}

func readText(raw []byte) (string, error) {
	s, err := unquote(raw)
	return string(s), err
}

// unquote returns what a JSON string says, as a part of it if it has no escapes.
func unquote(raw []byte) ([]byte, error) {
	switch {
	case raw[0] != '"':
		return nil, errors.New("not a string")
	case bytes.IndexByte(raw, '\\') < 0:
		return raw[1 : len(raw)-1], nil
	case halfSurrogate(raw):
		return nil, errors.New("half of a surrogate pair is no character")
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil, errors.New("not a string")
	}
	return []byte(s), nil
}

// readTexts reads an array of strings.
func readTexts(raw []byte) ([]string, error) {
	if raw[0] != '[' {
		return nil, errors.New("not an array")
	}
	all := []string{}
	for raw[0] != ']' {
		raw = bytes.TrimLeft(raw[1:], jsonSpace) // after "[" or ","
		if raw[0] == ']' {
			break
		}
		var element []byte
		element, raw = cutValue(raw)
		s, err := readText(element)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func readFlag(raw []byte) (bool, error) {
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("neither true nor false")
}

// halfSurrogate reports whether an escape in a JSON string stands for half of a UTF-16 pair. JSON allows that, but no
// UTF-8 string can hold it, and encoding/json silently puts another character in its place.
func halfSurrogate(raw []byte) bool {
	var high rune
	for i := 0; i < len(raw); i++ {
		var r rune
		if raw[i] == '\\' {
			if i++; raw[i] == 'u' {
				n, _ := strconv.ParseUint(string(raw[i+1:i+5]), 16, 16) // four digits, the JSON is valid
				r, i = rune(n), i+4
			}
		}
		switch {
		case high != 0:
			if utf16.DecodeRune(high, r) == utf8.RuneError {
				return true
			}
			high = 0
		case utf16.IsSurrogate(r):
			high = r
		}
	}
	return false
}

func readTime(raw []byte) (time.Time, error) {
	s, err := unquote(raw)
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	if t.UnmarshalText(s) != nil {
		return time.Time{}, errors.New("not a time in RFC 3339")
	}
	return t.UTC(), nil
}

// readSequenceNumber reads an integer, or a string that holds one, as a writer makes it beyond the safe range.
func readSequenceNumber(raw []byte) (*int64, error) {
	if raw[0] != '"' {
		return readInteger(raw)
	}
	s, err := readText(raw)
	if err != nil {
		return nil, err
	}
	n, ok := canonicalInteger(s)
	if !ok {
		return nil, errors.New("not a decimal integer of 64 bits")
	}
	return &n, nil
}

// readOffset reads a string, or an integer, whose text is then the offset.
func readOffset(raw []byte) (*string, error) {
	if raw[0] != '"' {
		_, err := readInteger(raw)
		s := string(raw)
		return &s, err
	}
	s, err := readText(raw)
	return &s, err
}

// readInteger reads a JSON number that a writer may have written as such. One beyond the safe range may have been
// rounded on its way here, and going on from a wrong position would lose events.
func readInteger(raw []byte) (*int64, error) {
	n, ok := canonicalInteger(string(raw))
	switch {
	case !ok:
		return nil, errors.New("neither an integer nor a string")
	case !isSafe(n):
		return nil, errors.New("an integer beyond 2^53-1 has to be a string")
	}
	return &n, nil
}

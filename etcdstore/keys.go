package etcdstore

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// defaultPrefix is put before every key unless [Options] names another.
const defaultPrefix = "/tenure/v1"

// localNamespace is the namespace of groups that are written with two segments.
const localNamespace = "local"

// kind is the fixed segment of a key that tells what its value is.
type kind string

// The kinds sort in this order, so that one range from control to the end of the group holds everything that planning
// needs and leaves the busy checkpoints out.
const (
	kindCheckpoint kind = "checkpoint"
	kindControl    kind = "control"
	kindMember     kind = "member"
	kindOwnership  kind = "ownership"
	kindReserved   kind = "reserved"
)

// errUnknownKind marks a key of a group that is well formed and of a kind that this version does not know. Readers
// skip it: a later version wrote it.
var errUnknownKind = errors.New("unknown kind of record")

// keyspace makes and reads the keys under one prefix.
type keyspace struct {
	prefix string // without a slash at the end
}

// newKeyspace checks the prefix. Slashes at its end are dropped, so that "/tenure/v1" and "/tenure/v1/" are one place
// and not two fleets that each own everything.
func newKeyspace(prefix string) (keyspace, error) {
	if prefix == "" {
		prefix = defaultPrefix
	}
	trimmed := strings.TrimRight(prefix, "/")
	switch {
	case trimmed == "":
		return keyspace{}, badPrefix(prefix, "more than slashes")
	case !utf8.ValidString(trimmed):
		return keyspace{}, badPrefix(prefix, "valid UTF-8")
	}
	return keyspace{prefix: trimmed}, nil
}

func badPrefix(prefix, want string) error {
	return &ArgumentError{Field: "Options.Prefix", Value: prefix, Want: want + ", such as " + strconv.Quote(defaultPrefix)}
}

// group returns the prefix of all keys of a group, with the slash at its end that keeps group "a" from listing "ab".
func (k keyspace) group(g Group) string { return k.prefix + "/" + g.String() + "/" }

// key returns the key of one record. A control name is a path whose segments are encoded already, such as
// "partitions"; every other name is one segment and is encoded here.
func (k keyspace) key(g Group, kd kind, name string) string {
	if kd != kindControl {
		name = url.PathEscape(name)
	}
	return k.group(g) + string(kd) + "/" + name
}

// parse is the strict inverse of key: whatever key would not have written is an error, so that no two keys ever mean
// the same record. The error is a *fieldError, and errUnknownKind if only the kind is unknown.
func (k keyspace) parse(key string) (Group, kind, string, error) {
	g, kd, name, err := k.split(key)
	if err != nil {
		return Group{}, "", "", err
	}
	return g, kd, name, nil
}

// groupOf returns the group that a key belongs to, whether the rest of it can be read or not.
func (k keyspace) groupOf(key string) (Group, bool) {
	g, _, _, err := k.split(key)
	return g, err == nil || g.ConsumerGroup != ""
}

func (k keyspace) split(key string) (g Group, kd kind, name string, err error) {
	rest, ok := strings.CutPrefix(key, k.prefix)
	if ok {
		rest, ok = strings.CutPrefix(rest, "/")
	}
	var segments [4]string
	for i := range segments {
		if ok {
			segments[i], rest, ok = strings.Cut(rest, "/")
		}
	}
	if !ok {
		layout := k.prefix + "/<namespace>/<event hub>/<consumer group>/<kind>/<name>"
		return g, kd, name, &fieldError{Field: "key", Value: key, Err: errors.New("want " + layout)}
	}
	for i, into := range []*string{&g.FullyQualifiedNamespace, &g.EventHubName, &g.ConsumerGroup} {
		if *into, err = unescapeSegment(segments[i]); err != nil {
			return g, kd, name, err
		}
	}
	switch kd = kind(segments[3]); kd {
	case kindControl:
		name = rest
		for segment := range strings.SplitSeq(name, "/") {
			if _, err = unescapeSegment(segment); err != nil {
				break
			}
		}
	case kindCheckpoint, kindMember, kindOwnership, kindReserved:
		name, err = unescapeSegment(rest)
	default:
		err = &fieldError{Field: "key segment", Value: segments[3], Err: errUnknownKind}
	}
	return g, kd, name, err
}

// unescapeSegment is the strict inverse of [url.PathEscape] on one segment that names something.
func unescapeSegment(segment string) (string, error) {
	if segment != "" && isPlain(segment) {
		return segment, nil
	}
	name, err := url.PathUnescape(segment)
	switch {
	case err != nil:
	case name == "":
		err = errors.New("empty")
	case !utf8.ValidString(name):
		err = errors.New("not valid UTF-8")
	case url.PathEscape(name) != segment:
		err = errors.New("should be encoded as " + quote(url.PathEscape(name)))
	}
	if err != nil {
		return "", &fieldError{Field: "key segment", Value: segment, Err: err}
	}
	return name, nil
}

// isPlain reports whether all of a segment stands for itself, in every part of a URL. Most do; listings look at all.
func isPlain(segment string) bool {
	for i := range len(segment) {
		c := segment[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != '~' {
			return false
		}
	}
	return true
}

// Fold returns the group with the ASCII letters of its names in lower case. It is the one folding rule of this
// module, for everything that names an Event Hub: Event Hubs ignores the case of namespaces, hubs and consumer
// groups, and the .NET, Java, JavaScript and Python checkpoint stores fold them too, so that all of a fleet meets
// under the same keys. Event Hubs names are ASCII, and no other letters are folded, because languages and their
// locales disagree about those.
func (g Group) Fold() Group {
	return Group{
		FullyQualifiedNamespace: foldASCII(g.FullyQualifiedNamespace),
		EventHubName:            foldASCII(g.EventHubName),
		ConsumerGroup:           foldASCII(g.ConsumerGroup),
	}
}

func foldASCII(s string) string {
	if strings.IndexFunc(s, isUpperASCII) < 0 {
		return s
	}
	folded := []byte(s)
	for i, c := range folded {
		if isUpperASCII(rune(c)) {
			folded[i] = c + 'a' - 'A'
		}
	}
	return string(folded)
}

func isUpperASCII(r rune) bool { return 'A' <= r && r <= 'Z' }

// String returns "namespace/hub/group", each segment encoded as in the group's keys. [ParseGroup] is its inverse.
func (g Group) String() string {
	return url.PathEscape(g.FullyQualifiedNamespace) + "/" + url.PathEscape(g.EventHubName) + "/" +
		url.PathEscape(g.ConsumerGroup)
}

// ParseGroup reads what [Group.String] writes. Two segments mean the namespace "local". Unlike keys, which have one
// form only, it takes what people type: a character that needs no encoding may be encoded, and any but "/" and "%"
// may be left as it is. The error is an [ArgumentError].
func ParseGroup(s string) (Group, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 2 {
		parts = append([]string{localNamespace}, parts...)
	}
	if len(parts) != 3 {
		want := "namespace/hub/group, or hub/group in the namespace " + localNamespace
		return Group{}, &ArgumentError{Field: "group", Value: s, Want: want}
	}
	for i, part := range parts {
		name, err := url.PathUnescape(part)
		if err != nil {
			want := "segments encoded as in a URL path: " + err.Error()
			return Group{}, &ArgumentError{Field: "group", Value: s, Want: want}
		}
		parts[i] = name
	}
	g := Group{FullyQualifiedNamespace: parts[0], EventHubName: parts[1], ConsumerGroup: parts[2]}
	if err := validateGroup(g); err != nil {
		return Group{}, err
	}
	return g, nil
}

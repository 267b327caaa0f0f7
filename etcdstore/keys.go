package etcdstore

import (
	"errors"
	"net/url"
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

// errUnknownKind marks a key of a group that is well formed and of a kind that this version does not know. Readers skip
// it: a later version wrote it.
var errUnknownKind = errors.New("unknown kind of record")

// keyspace makes and reads the keys under one prefix.
type keyspace struct {
	prefix string // without a slash at the end
}

// newKeyspace checks the prefix. Slashes at its end are dropped, so that "/tenure/v1" and "/tenure/v1/" are one place and
// not two fleets that each own everything.
func newKeyspace(prefix string) (keyspace, error) {
	if prefix == "" {
		prefix = defaultPrefix
	}
	trimmed := strings.TrimRight(prefix, "/")
	switch {
	case trimmed == "":
		return keyspace{}, &ArgumentError{"Options.Prefix", prefix, "more than slashes, such as " + defaultPrefix}
	case !utf8.ValidString(trimmed):
		return keyspace{}, &ArgumentError{"Options.Prefix", prefix, "valid UTF-8, such as " + defaultPrefix}
	}
	return keyspace{prefix: trimmed}, nil
}

// group returns the prefix of all keys of a group, with the slash at its end that keeps group "a" from listing "ab".
func (k keyspace) group(g Group) string { return k.prefix + "/" + g.String() + "/" }

// key returns the key of one record. A control name is a path whose segments are encoded already, such as "partitions";
// every other name is one segment and is encoded here.
func (k keyspace) key(g Group, kd kind, name string) string {
	if kd != kindControl {
		name = url.PathEscape(name)
	}
	return k.group(g) + string(kd) + "/" + name
}

// parse is the strict inverse of key: whatever key would not have written is an error, so that no two keys ever mean
// the same record. The error is errUnknownKind if only the kind is unknown.
func (k keyspace) parse(key string) (Group, kind, string, error) {
	fail := func(err error) (Group, kind, string, error) {
		return Group{}, "", "", &fieldError{Field: "key", Value: key, Err: err}
	}
	rest, ok := strings.CutPrefix(key, k.prefix+"/")
	if !ok {
		return fail(errors.New("not under the prefix " + k.prefix + "/"))
	}
	parts := strings.SplitN(rest, "/", 5)
	if len(parts) != 5 {
		return fail(errors.New("want namespace, event hub, consumer group, kind and name after the prefix"))
	}
	var names [3]string
	for i := range names {
		name, err := unescapeSegment(parts[i])
		if err != nil {
			return fail(err)
		}
		names[i] = name
	}
	g := Group{FullyQualifiedNamespace: names[0], EventHubName: names[1], ConsumerGroup: names[2]}
	switch kd := kind(parts[3]); kd {
	case kindControl:
		for segment := range strings.SplitSeq(parts[4], "/") {
			if _, err := unescapeSegment(segment); err != nil {
				return fail(err)
			}
		}
		return g, kd, parts[4], nil
	case kindCheckpoint, kindMember, kindOwnership, kindReserved:
		name, err := unescapeSegment(parts[4])
		if err != nil {
			return fail(err)
		}
		return g, kd, name, nil
	default:
		return fail(errUnknownKind)
	}
}

// unescapeSegment is the strict inverse of [url.PathEscape] on one segment that names something.
func unescapeSegment(segment string) (string, error) {
	name, err := url.PathUnescape(segment)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", errors.New("empty segment")
	case !utf8.ValidString(name):
		return "", errors.New("segment " + quote(segment) + " is not valid UTF-8")
	case url.PathEscape(name) != segment:
		return "", errors.New("segment " + quote(segment) + " would be encoded as " + quote(url.PathEscape(name)))
	}
	return name, nil
}

// Fold returns the group with the ASCII letters of its names in lower case. It is the one folding rule of this module, for
// everything that names an Event Hub: Event Hubs ignores the case of namespaces, hubs and consumer groups, and the .NET,
// Java, JavaScript and Python checkpoint stores fold them too, so that all of a fleet meets under the same keys. Event Hubs
// names are ASCII, and no other letters are folded, because languages and their locales disagree about those.
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

// ParseGroup reads what [Group.String] writes. Two segments mean the namespace "local". Unlike keys, which have one form
// only, it takes what people type: a character that needs no encoding may be encoded, and any but "/" and "%" may be left
// as it is. The error is an [ArgumentError].
func ParseGroup(s string) (Group, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 2 {
		parts = append([]string{localNamespace}, parts...)
	}
	if len(parts) != 3 {
		return Group{}, &ArgumentError{"group", s, "namespace/hub/group, or hub/group in the namespace " + localNamespace}
	}
	for i, part := range parts {
		name, err := url.PathUnescape(part)
		if err != nil {
			return Group{}, &ArgumentError{"group", s, "segments encoded as in a URL path (" + err.Error() + ")"}
		}
		parts[i] = name
	}
	g := Group{FullyQualifiedNamespace: parts[0], EventHubName: parts[1], ConsumerGroup: parts[2]}
	if err := validateGroup(g); err != nil {
		return Group{}, err
	}
	return g, nil
}

package etcdstore

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Controls are what a group's planning rests on beside its members and ownerships: the partitions there are, and what
// operators and members want of them.
type Controls struct {
	// Partitions are the group's partition ids in byte order. Members add to them, see [Store.AddPartitions].
	Partitions []string

	// Avoid tells by partition which members are to be passed over for it, and why, while there is another.
	Avoid map[string]map[string]string

	// Cordoned members take no further partitions; Drained ones are to own none. By owner id, with the reason.
	Cordoned, Drained map[string]string

	// Pinned partitions go to the member with that owner id while it takes any.
	Pinned map[string]string

	// Paused partitions are owned by nobody. With the reason.
	Paused map[string]string
}

// The words that begin a control's name, and what each is about.
const (
	controlPartitions = "partitions"
	controlAvoid      = "avoid"  // <partition>/<owner id>
	controlCordon     = "cordon" // <owner id>
	controlDrain      = "drain"  // <owner id>
	controlPin        = "pin"    // <partition>
	controlPause      = "pause"  // <partition>
)

// controlName returns what stands after "control/" in a key.
func controlName(word string, names ...string) string {
	var name strings.Builder
	name.WriteString(word)
	for _, n := range names {
		name.WriteByte('/')
		name.WriteString(url.PathEscape(n))
	}
	return name.String()
}

// splitControl is the inverse of controlName. What it is given has been checked by keyspace.parse.
func splitControl(name string) (word string, names []string) {
	segments := strings.Split(name, "/")
	for _, segment := range segments[1:] {
		n, err := url.PathUnescape(segment)
		if err != nil {
			return "", nil // not reached: parse has read it
		}
		names = append(names, n)
	}
	return segments[0], names
}

// controlRecord is the value of every control but control/partitions.
type controlRecord struct {
	OwnerID string // of a pin: who is to have the partition
	Reason  string
}

func (r controlRecord) encode() []byte {
	var o objectWriter
	o.optional(fieldOwnerID, r.OwnerID)
	o.text(fieldReason, r.Reason)
	return o.end()
}

func decodeControl(value []byte) (controlRecord, error) {
	var r controlRecord
	err := readObject(value, []field{
		{name: fieldOwnerID, into: &r.OwnerID},
		{name: fieldReason, into: &r.Reason},
	})
	return r, err
}

// decodePartitions reads the value of control/partitions, or of a reservation. The error is a *fieldError.
func decodePartitions(value []byte) ([]string, error) {
	var ids []string
	fields := []field{{name: controlPartitions, into: &ids}}
	if err := readObject(value, fields); err != nil {
		return nil, err
	}
	if !fields[0].found {
		return nil, &fieldError{Field: controlPartitions, Err: errors.New("missing")}
	}
	if slices.Contains(ids, "") {
		return nil, &fieldError{Field: controlPartitions, Value: string(value), Err: errors.New("an id is empty")}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func encodePartitions(ids []string) []byte {
	var o objectWriter
	o.texts(controlPartitions, ids)
	return o.end()
}

// named returns the map of those controls that are about one name each, nil for an unknown word.
func (c *Controls) named(word string) map[string]string {
	switch word {
	case controlCordon:
		return c.Cordoned
	case controlDrain:
		return c.Drained
	case controlPin:
		return c.Pinned
	case controlPause:
		return c.Paused
	}
	return nil
}

// set takes in one control. The maps are this Controls' own. Controls that a later version wrote are passed over.
func (c *Controls) set(name string, value []byte) (err error) {
	word, names := splitControl(name)
	if word == controlPartitions && len(names) == 0 {
		c.Partitions, err = decodePartitions(value)
		return err
	}
	avoid := word == controlAvoid && len(names) == 2
	one := c.named(word)
	if !avoid && (one == nil || len(names) != 1) {
		return nil
	}
	record, err := decodeControl(value)
	switch {
	case err != nil:
		return err
	case avoid:
		if c.Avoid[names[0]] == nil {
			c.Avoid[names[0]] = make(map[string]string)
		}
		c.Avoid[names[0]][names[1]] = record.Reason
	case word == controlPin && record.OwnerID == "":
		return &fieldError{Field: fieldOwnerID, Err: errors.New("missing")}
	case word == controlPin:
		one[names[0]] = record.OwnerID
	default:
		one[names[0]] = record.Reason
	}
	return nil
}

// remove takes out one control.
func (c *Controls) remove(name string) {
	word, names := splitControl(name)
	switch {
	case word == controlPartitions && len(names) == 0:
		c.Partitions = nil
	case word == controlAvoid && len(names) == 2:
		delete(c.Avoid[names[0]], names[1])
		if len(c.Avoid[names[0]]) == 0 {
			delete(c.Avoid, names[0])
		}
	case len(names) == 1:
		delete(c.named(word), names[0])
	}
}

func newControls() Controls {
	return Controls{
		Avoid:    make(map[string]map[string]string),
		Cordoned: make(map[string]string),
		Drained:  make(map[string]string),
		Pinned:   make(map[string]string),
		Paused:   make(map[string]string),
	}
}

// clone copies the maps, which change in place. Partitions are replaced as a whole.
func (c *Controls) clone() Controls {
	copied := *c
	copied.Avoid = make(map[string]map[string]string, len(c.Avoid))
	for partition, of := range c.Avoid {
		copied.Avoid[partition] = maps.Clone(of)
	}
	copied.Cordoned, copied.Drained = maps.Clone(c.Cordoned), maps.Clone(c.Drained)
	copied.Pinned, copied.Paused = maps.Clone(c.Pinned), maps.Clone(c.Paused)
	return copied
}

package etcdstore

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Controls are what a group's planning rests on beside its members and ownerships: the partitions there are, and what
// operators and members want of them.
type Controls struct {
	// Partitions are the group's partition ids in byte order. Members add to them, see [Store.AddPartitions].
	Partitions []string

	// Avoid tells by partition and owner id which members are to be passed over for it while there is another.
	Avoid map[string]map[string]Control

	// Cordoned members take no further partitions; Drained ones are to own none. By owner id.
	Cordoned, Drained map[string]Control

	// Pinned partitions go to a member while it takes any. By partition.
	Pinned map[string]Control

	// Paused partitions are owned by nobody. By partition.
	Paused map[string]Control
}

// Control is one thing that an operator or a member wants. But for the owner id it is for people.
type Control struct {
	// OwnerID is the member that a pinned partition is to go to, or that is to be passed over for one. Others have none.
	OwnerID string

	// Reason says why. It may be empty.
	Reason string

	// SetBy and SetAt tell who set it and when, by that machine's clock. What members set has neither.
	SetBy string
	SetAt time.Time

	// ExpiresAt is when etcd removes it, by the clock of who set it; zero if it has no time, or goes with the lease of
	// the member that set it.
	ExpiresAt time.Time
}

// ControlKind says what a [Control] is about.
type ControlKind string

// The kinds of controls that can be set. The first two are about members, by owner id, the others about partitions.
const (
	Cordon ControlKind = "cordon"
	Drain  ControlKind = "drain"
	Pin    ControlKind = "pin"
	Pause  ControlKind = "pause"
	Avoid  ControlKind = "avoid"
)

// The words that begin a control's name, and what each is about.
const (
	controlPartitions = "partitions"
	controlChanges    = "changes"      // of what operators want: see Store.alter
	controlAvoid      = string(Avoid)  // <partition>/<owner id>
	controlCordon     = string(Cordon) // <owner id>
	controlDrain      = string(Drain)  // <owner id>
	controlPin        = string(Pin)    // <partition>
	controlPause      = string(Pause)  // <partition>
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

// The fields of a control's record that no other record has.
const (
	fieldSetBy     = "set_by"
	fieldSetAt     = "set_at"
	fieldExpiresAt = "expires_at"
)

// encode returns the value of every control but control/partitions. Who is to be passed over stands in the key only.
func (c Control) encode() []byte {
	var o objectWriter
	o.optional(fieldOwnerID, c.OwnerID)
	o.text(fieldReason, c.Reason)
	o.optional(fieldSetBy, c.SetBy)
	if !c.SetAt.IsZero() {
		o.time(fieldSetAt, c.SetAt)
	}
	if !c.ExpiresAt.IsZero() {
		o.time(fieldExpiresAt, c.ExpiresAt)
	}
	return o.end()
}

func decodeControl(value []byte) (Control, error) {
	var c Control
	err := readObject(value, []field{
		{name: fieldOwnerID, into: &c.OwnerID},
		{name: fieldReason, into: &c.Reason},
		{name: fieldSetBy, into: &c.SetBy},
		{name: fieldSetAt, into: &c.SetAt},
		{name: fieldExpiresAt, into: &c.ExpiresAt},
	})
	return c, err
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
func (c *Controls) named(word string) map[string]Control {
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
	control, err := decodeControl(value)
	switch {
	case err != nil:
		return err
	case avoid:
		control.OwnerID = names[1]
		if c.Avoid[names[0]] == nil {
			c.Avoid[names[0]] = make(map[string]Control)
		}
		c.Avoid[names[0]][names[1]] = control
	case word == controlPin && control.OwnerID == "":
		return &fieldError{Field: fieldOwnerID, Err: errors.New("missing")}
	default:
		if word != controlPin {
			control.OwnerID = ""
		}
		one[names[0]] = control
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
		Avoid:    make(map[string]map[string]Control),
		Cordoned: make(map[string]Control),
		Drained:  make(map[string]Control),
		Pinned:   make(map[string]Control),
		Paused:   make(map[string]Control),
	}
}

// clone copies the maps, which change in place. Partitions are replaced as a whole.
func (c *Controls) clone() Controls {
	copied := *c
	copied.Avoid = make(map[string]map[string]Control, len(c.Avoid))
	for partition, of := range c.Avoid {
		copied.Avoid[partition] = maps.Clone(of)
	}
	copied.Cordoned, copied.Drained = maps.Clone(c.Cordoned), maps.Clone(c.Drained)
	copied.Pinned, copied.Paused = maps.Clone(c.Pinned), maps.Clone(c.Paused)
	return copied
}

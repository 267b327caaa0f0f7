package inspect

import (
	"cmp"
	"strings"
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// Control is what an operator or a member wants.
type Control struct {
	Kind      etcdstore.ControlKind `json:"kind"`
	OwnerID   string                `json:"owner_id,omitempty"`
	Reason    string                `json:"reason,omitempty"`
	SetBy     string                `json:"set_by,omitempty"`
	SetAt     time.Time             `json:"set_at,omitzero"`
	ExpiresAt time.Time             `json:"expires_at,omitzero"`
}

func controlOf(kind etcdstore.ControlKind, c etcdstore.Control) Control {
	return Control{kind, c.OwnerID, c.Reason, c.SetBy, c.SetAt, c.ExpiresAt}
}

// state is the control in a word or two, for a table.
func (c Control) state() string {
	switch c.Kind {
	case etcdstore.Cordon:
		return "cordoned"
	case etcdstore.Drain:
		return "draining"
	case etcdstore.Pause:
		return "paused"
	case etcdstore.Pin:
		return "pinned to " + c.OwnerID
	case etcdstore.Avoid:
		return "kept from " + c.OwnerID
	}
	return string(c.Kind)
}

// Words is the control with all that is known of it: by whom, since when, why, and until when.
func (c Control) Words(now time.Time) string {
	var words strings.Builder
	words.WriteString(c.state())
	if c.SetBy != "" {
		words.WriteString(" by " + c.SetBy)
	}
	if !c.SetAt.IsZero() {
		words.WriteString(" " + Ago(now, c.SetAt) + " ago")
	}
	if c.Reason != "" {
		words.WriteString(": " + c.Reason)
	}
	if !c.ExpiresAt.IsZero() {
		words.WriteString(" (for another " + cmp.Or(Ago(c.ExpiresAt, now), "0s") + ")")
	}
	return words.String()
}

// states joins what controls say in a word or two each.
func states(controls []Control) string {
	words := make([]string, len(controls))
	for i, c := range controls {
		words[i] = c.state()
	}
	return strings.Join(words, ", ")
}

package etcdstore

import (
	"encoding/json"
	"errors"
	"time"
)

// Member is the presence of one consumer in a group, under its lease.
type Member struct {
	OwnerID   string    `json:"owner_id"`
	Instance  string    `json:"instance"` // a nonce per process
	Weight    int       `json:"weight"`
	Capacity  int       `json:"capacity"`
	Version   int       `json:"version"` // of its records and its plan
	StartedAt time.Time `json:"started_at"`
}

func decodeMember(value []byte) (Member, error) {
	var m Member
	if err := json.Unmarshal(value, &m); err != nil {
		return Member{}, &fieldError{Value: string(value), Err: err}
	}
	if m.OwnerID == "" {
		return Member{}, &fieldError{Field: fieldOwnerID, Err: errors.New("missing")}
	}
	return m, nil
}

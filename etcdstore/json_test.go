package etcdstore

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzFlatFields: what is taken for an object in the usual form is valid JSON, and has the fields that looking at it as
// any JSON finds.
func FuzzFlatFields(f *testing.F) {
	for _, seed := range []string{
		`{"owner_id":"a","last_modified_time":"2026-01-01T00:00:00.000000000Z","n":-12,"leaving":true,"x":null}`,
		`{"a":"b","c":01}`, `{"a":"b",}`, `{"a":1e3}`, `{"a":"\u0062"}`, `{"a":["b"]}`, `{"a":"b"} `, `{}`, `{"a"}`, `{"a":}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		all, ok := flatFields(nil, value)
		if !ok {
			return
		}
		require.True(t, json.Valid(value))
		require.Equal(t, anyFields(nil, value), all)
	})
}

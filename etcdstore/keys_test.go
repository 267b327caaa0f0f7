package etcdstore

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestKeyspacePrefix(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":              "/tenure/v1",
		"/tenure/v1":    "/tenure/v1",
		"/tenure/v1///": "/tenure/v1",
		"tenure":        "tenure",
		"/two words/ü":  "/two words/ü",
	} {
		k, err := newKeyspace(given)
		require.NoError(t, err, given)
		require.Equal(t, want, k.prefix, given)
	}
	for _, given := range []string{"/", "//", "/\xff"} {
		_, err := newKeyspace(given)
		require.ErrorIs(t, err, ErrInvalidArgument, given)
		var argument *ArgumentError
		require.ErrorAs(t, err, &argument, given)
		require.Equal(t, "Options.Prefix", argument.Field)
		require.Equal(t, given, argument.Value)
	}
}

func TestUnknownKindIsToldApart(t *testing.T) {
	t.Parallel()
	k := keyspace{prefix: defaultPrefix}
	_, _, _, err := k.parse("/tenure/v1/ns/hub/cg/lock/0/1")
	require.ErrorIs(t, err, errUnknownKind)
	_, _, _, err = k.parse("/tenure/v1/ns/hub/cg/ownership/0/1")
	require.Error(t, err)
	require.NotErrorIs(t, err, errUnknownKind)
}

func TestParseGroup(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Group{
		"orders/billing":          {"local", "orders", "billing"},
		"local/orders/billing":    {"local", "orders", "billing"},
		"NS/Orders/$Default":      {"NS", "Orders", "$Default"},
		"ns/two words/%2f%41":     {"ns", "two words", "/A"},
		"ns/hub%3Fa=b/caf%C3%A9é": {"ns", "hub?a=b", "caféé"},
	} {
		g, err := ParseGroup(text)
		require.NoError(t, err, text)
		require.Equal(t, want, g, text)
	}
	refused := []string{
		"", "orders", "/", "//", "a//c", "a/b/c/d", "a/b/", "/orders/billing", "a/b/100%", "a/b/%FF",
	}
	for _, text := range refused {
		g, err := ParseGroup(text)
		require.ErrorIs(t, err, ErrInvalidArgument, text)
		require.Zero(t, g, text)
	}
}

// anyName draws what may name something: non-empty UTF-8, with a liking for what keys give a meaning to.
func anyName() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringN(1, 12, -1),
		rapid.StringOfN(rapid.SampledFrom([]rune("/%.ab2F")), 1, 6, -1),
		rapid.SampledFrom([]string{"checkpoint", "control", "member", "ownership", "reserved", "local"}),
	)
}

func anyGroup(t *rapid.T, label string) Group {
	return Group{
		FullyQualifiedNamespace: anyName().Draw(t, label+" namespace"),
		EventHubName:            anyName().Draw(t, label+" hub"),
		ConsumerGroup:           anyName().Draw(t, label+" group"),
	}
}

// A range over one group's prefix sees that group's keys and no other's, whatever the names are.
func TestGroupsDoNotListEachOther(t *testing.T) {
	t.Parallel()
	k := keyspace{prefix: defaultPrefix}
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyGroup(t, "a"), anyGroup(t, "b")
		switch rapid.IntRange(0, 3).Draw(t, "nearness") {
		case 0:
			b = a
		case 1:
			b = a
			b.ConsumerGroup += "/" + anyName().Draw(t, "tail")
		case 2:
			b = a
			b.ConsumerGroup += anyName().Draw(t, "tail")
		}
		kd := rapid.SampledFrom([]kind{kindCheckpoint, kindMember, kindOwnership, kindReserved}).Draw(t, "kind")
		key := k.key(b, kd, anyName().Draw(t, "name"))
		require.Equal(t, a == b, strings.HasPrefix(key, k.group(a)))
	})
}

// Planning reads one range from control/ to the end of the group, which must hold no checkpoint.
func TestCheckpointsSortBeforeAllElse(t *testing.T) {
	t.Parallel()
	k := keyspace{prefix: defaultPrefix}
	rapid.Check(t, func(t *rapid.T) {
		g := anyGroup(t, "group")
		from := k.group(g) + string(kindControl) + "/"
		require.Less(t, k.key(g, kindCheckpoint, anyName().Draw(t, "partition")), from)
		for _, kd := range []kind{kindMember, kindOwnership, kindReserved} {
			require.Greater(t, k.key(g, kd, anyName().Draw(t, "name")), from)
		}
	})
}

func FuzzKeyRoundTrip(f *testing.F) {
	for _, v := range readVectors(f).Groups {
		f.Add(v.Namespace, v.EventHub, v.ConsumerGroup, v.EventHub)
	}
	f.Add("a", "b", "c/ownership", "0")
	f.Fuzz(func(t *testing.T, namespace, hub, group, name string) {
		g := Group{FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group}
		if validateGroup(g) != nil || name == "" || !utf8.ValidString(name) {
			return
		}
		k := keyspace{prefix: defaultPrefix}
		for _, kd := range []kind{kindCheckpoint, kindMember, kindOwnership, kindReserved} {
			parsed, parsedKind, parsedName, err := k.parse(k.key(g, kd, name))
			require.NoError(t, err)
			require.Equal(t, g, parsed)
			require.Equal(t, kd, parsedKind)
			require.Equal(t, name, parsedName)
		}
		parsed, err := ParseGroup(g.String())
		require.NoError(t, err)
		require.Equal(t, g, parsed)
	})
}

func FuzzParseKey(f *testing.F) {
	vectors := readVectors(f)
	for _, v := range vectors.Keys {
		f.Add(v.Key)
	}
	for _, v := range vectors.BadKeys {
		f.Add(v.Key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		k := keyspace{prefix: defaultPrefix}
		if g, kd, name, err := k.parse(key); err == nil {
			require.Equal(t, key, k.key(g, kd, name))
			require.NoError(t, validateGroup(g))
		}
	})
}

func FuzzParseGroup(f *testing.F) {
	for _, v := range readVectors(f).Groups {
		f.Add(v.Text)
	}
	f.Add("orders/billing")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGroup(text)
		if err != nil {
			require.ErrorIs(t, err, ErrInvalidArgument)
			return
		}
		require.NoError(t, validateGroup(g))
		again, err := ParseGroup(g.String())
		require.NoError(t, err)
		require.Equal(t, g, again)
	})
}

func BenchmarkKey(b *testing.B) {
	k := keyspace{prefix: defaultPrefix}
	b.ReportAllocs()
	for b.Loop() {
		k.key(orders, kindCheckpoint, "17")
	}
}

func BenchmarkParseKey(b *testing.B) {
	k := keyspace{prefix: defaultPrefix}
	key := k.key(orders, kindCheckpoint, "17")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := k.parse(key); err != nil {
			b.Fatal(err)
		}
	}
}

// An etag reads back as what it was written from, and nothing else is one.
func FuzzETag(f *testing.F) {
	for _, seed := range []string{
		"", "0", "1", "01", "+1", "-1", "9223372036854775807", "9223372036854775808", "1e3", "１",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, etag string) {
		revision, ok := parseETag(etag)
		switch {
		case etag == "":
			require.True(t, ok)
			require.Zero(t, revision)
		case ok:
			require.Positive(t, revision)
			require.Equal(t, etag, formatETag(revision))
		default:
			n, err := strconv.ParseInt(etag, 10, 64)
			require.True(t, err != nil || n < 1 || strconv.FormatInt(n, 10) != etag)
		}
	})
}

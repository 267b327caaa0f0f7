package cluster

import (
	"fmt"

	"github.com/coreos/go-semver/semver"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

// minimum is the oldest etcd that Tenure works with. Nested transactions, which everything stands on, are older;
// before 3.5 nothing is tested, and nobody mends what is found.
var minimum = semver.Version{Major: 3, Minor: 5} //nolint:gochecknoglobals // A constant in all but type.

// mended are, by minor version, the first releases in which known faults that weaken ownership are mended.
var mended = map[int64]semver.Version{ //nolint:gochecknoglobals // A constant in all but type.
	5: {Major: 3, Minor: 5, Patch: 33},
	6: {Major: 3, Minor: 6, Patch: 14},
	7: {Major: 3, Minor: 7, Patch: 1},
}

// JudgeVersion returns a problem for an etcd that is too old, or advice about one that should be upgraded.
func JudgeVersion(endpoint, version string) (advice string, err error) {
	v, err := semver.NewVersion(version)
	if err != nil {
		return "", &problem.Error{Kind: problem.Etcd, What: fmt.Sprintf("%s says that its version is %q", endpoint, version),
			Do: "Check that the endpoint is an etcd, version 3.5.0 or newer.", Err: err}
	}
	if v.LessThan(minimum) {
		return "", &problem.Error{Kind: problem.Etcd,
			What: fmt.Sprintf("the etcd at %s is version %s, which is too old", endpoint, v),
			Do:   "Tenure needs 3.5.0 or newer; 3.5.33, 3.6.14, 3.7.1 or newer is recommended. Upgrade etcd."}
	}
	first, known := mended[v.Minor]
	if v.Major == minimum.Major && known && v.LessThan(first) {
		return fmt.Sprintf("the etcd at %s is version %s: upgrade to %s or newer, which mends a way round the permissions "+
			"of nested transactions (CVE-2026-33343), renewals that succeed on revoked leases, and stale reads after a pause",
			endpoint, v, first), nil
	}
	return "", nil
}

package supervise

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tenure-go/tenure/etcdstore"
)

// variablePrefix begins the names of all that a worker is told of its partition. What is inherited under such a name is
// not handed on: absent has to mean absent.
const variablePrefix = "TENURE_WORKER_"

// environment adds to the supervisor's environment what a worker is told.
func environment(inherited []string, ownership etcdstore.Ownership, start etcdstore.Checkpoint) []string {
	variables := slices.DeleteFunc(slices.Clone(inherited), func(variable string) bool {
		return strings.HasPrefix(variable, variablePrefix)
	})
	add := func(name, value string) { variables = append(variables, variablePrefix+name+"="+value) }
	add("GROUP", ownership.String())
	add("PARTITION", ownership.PartitionID)
	add("OWNER_ID", ownership.OwnerID)
	add("FENCE", ownership.ETag)
	if start.SequenceNumber != nil {
		add("SEQUENCE_NUMBER", strconv.FormatInt(*start.SequenceNumber, 10))
	}
	if start.Offset != nil {
		add("OFFSET", *start.Offset)
	}
	return variables
}

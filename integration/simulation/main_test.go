package simulation

import (
	"testing"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestMain(m *testing.M) { etcdtest.Main(m) }

package lease

import "errors"

// placeholder until the package is written
var ErrNoSpace = errors.New("etcd is out of space")

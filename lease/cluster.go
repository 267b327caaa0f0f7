package lease

import (
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// cluster is what the keeper has learnt of the cluster from the headers of its answers.
type cluster struct {
	mu       sync.Mutex
	id       uint64
	revision int64  // the highest received
	raftTerm uint64 // of the latest linearizable answer
}

// adopt takes a new grant's header as what the cluster is from now on. It returns ErrClusterChanged if that is not the
// cluster of before, or an older state of it: a grant goes through the log, so its revision is not below any that was
// received before it was sent.
func (c *cluster) adopt(header *pb.ResponseHeader, before int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.compare(header)
	if err == nil {
		err = older(header, before)
	}
	if err != nil {
		c.revision = 0
	}
	c.id = header.GetClusterId()
	c.revision = max(c.revision, header.GetRevision())
	c.raftTerm = header.GetRaftTerm()
	return err
}

// see takes note of an answer's header. Its revision may lag behind others' and is not compared.
func (c *cluster) see(header *pb.ResponseHeader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.compare(header); err != nil {
		return err
	}
	c.revision = max(c.revision, header.GetRevision())
	return nil
}

// read takes note of a linearizable read's header, where before is the highest revision received before it was sent.
func (c *cluster) read(header *pb.ResponseHeader, before int64) error {
	if err := c.see(header); err != nil {
		return err
	}
	if err := older(header, before); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raftTerm = max(c.raftTerm, header.GetRaftTerm())
	return nil
}

// known returns the highest revision received and the raft term of the latest linearizable answer.
func (c *cluster) known() (revision int64, raftTerm uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revision, c.raftTerm
}

func (c *cluster) compare(header *pb.ResponseHeader) error {
	if c.id != 0 && header.GetClusterId() != c.id {
		return fmt.Errorf("%w: its id is %x, it was %x", ErrClusterChanged, header.GetClusterId(), c.id)
	}
	return nil
}

func older(header *pb.ResponseHeader, before int64) error {
	if header.GetRevision() < before {
		return fmt.Errorf("%w: its revision is %d, it was %d", ErrClusterChanged, header.GetRevision(), before)
	}
	return nil
}

package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
	"github.com/tenure-go/tenure/cmd/tenure/internal/status"
	"github.com/tenure-go/tenure/etcdstore"
)

// serveStatus serves metrics and probes if an address is given for them.
func (a *app) serveStatus(ctx context.Context, address string) (*status.Server, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // One that serves nothing.
	}
	server, err := status.Listen(ctx, address, a.log.Named("status"))
	if err != nil {
		return nil, &problem.Error{Kind: problem.Usage, What: "--metrics-addr", Err: err,
			Do: "Give a free address of this machine, such as localhost:9090, or :9090 for all of its addresses."}
	}
	return server, nil
}

// ofMember is the status of a member.
func ofMember(member *balancer.Member) status.Subject {
	return status.Subject{Metrics: member.Metrics(), Alive: member.Alive, Ready: member.Ready}
}

// ofStore is the status of a process whose partitions the SDK's Processor shares out.
func ofStore(store *etcdstore.Store, group etcdstore.Group) status.Subject {
	return status.Subject{
		Metrics: prometheus.WrapCollectorWith(prometheus.Labels{"group": group.String()}, store.Metrics()),
		Ready:   store.Keeper().Err,
	}
}

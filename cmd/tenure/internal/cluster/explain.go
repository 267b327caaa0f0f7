package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

// probeTimeout bounds each look at an endpoint that did not answer.
const probeTimeout = 2 * time.Second

// explain says in words why etcd could not be worked with. Where etcd answered, its answer tells. Where it did not, the
// client only knows that time ran out, so the endpoints are looked at once more, without gRPC.
func explain(ctx context.Context, err error, settings Settings, config *tls.Config) error {
	if _, known := errors.AsType[*problem.Error](err); known {
		return err
	}
	trouble := func(what, do string, cause error) error {
		return &problem.Error{Kind: problem.Etcd, What: what, Do: do, Err: cause}
	}
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return trouble(fmt.Sprintf("etcd does not accept the password of user %q, or has no such user", settings.User),
			"Check --user and TENURE_PASSWORD (or --password-file).", nil)
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return trouble("this etcd wants to know who is asking",
			"Give a user with --user and its password in TENURE_PASSWORD or --password-file, or a client certificate "+
				"with --cert and --key.", nil)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return denied(settings)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return noSpace(strings.Join(settings.Endpoints, ", "), err)
	}
	var reasons []string
	for _, endpoint := range settings.Endpoints {
		reason, do := probe(ctx, endpoint, config)
		if do != "" {
			return trouble(reason, do, nil)
		}
		if reason != "" {
			reasons = append(reasons, reason)
		}
	}
	if len(reasons) == len(settings.Endpoints) {
		return trouble(
			fmt.Sprintf("etcd cannot be reached (tried for %v): %s", settings.DialTimeout, strings.Join(reasons, "; ")),
			"Check that etcd runs, and that --endpoints and the network between are right.", nil)
	}
	what := fmt.Sprintf("etcd at %s takes connections but did not answer within %v",
		strings.Join(settings.Endpoints, ", "), settings.DialTimeout)
	if len(reasons) > 0 {
		what += " (" + strings.Join(reasons, "; ") + ")"
	}
	return trouble(what, "It may have no leader (too few members are up) or be overloaded, or what listens there is no "+
		"etcd. Look with: etcdctl endpoint status --cluster", err)
}

// denied is all that needs to be said of a lack of permission: etcd's own words name neither user nor keys.
func denied(settings Settings) error {
	user := fmt.Sprintf("user %q", settings.User)
	if settings.User == "" {
		user = "the user of the client certificate"
	}
	return &problem.Error{
		Kind: problem.Etcd,
		What: fmt.Sprintf("etcd denies %s permission to read and write %s/", user, settings.Prefix),
		Do:   fmt.Sprintf("As root: etcdctl role grant-permission ROLE readwrite --prefix=true %s/", settings.Prefix),
	}
}

func noSpace(where string, err error) error {
	return &problem.Error{
		Kind: problem.Etcd,
		What: fmt.Sprintf("etcd is out of space (%s raised the NOSPACE alarm) and takes no writes", where),
		Do: "Free some: etcdctl compact REVISION, etcdctl defrag, then etcdctl alarm disarm; or run etcd with a larger " +
			"--quota-backend-bytes.",
		Err: err,
	}
}

// probe says what is the matter with one endpoint, and what to do where that is clear. An empty reason means that it
// takes connections of the kind that the settings ask for.
func probe(ctx context.Context, endpoint string, config *tls.Config) (reason, do string) {
	if strings.HasPrefix(endpoint, "unix") {
		return "", ""
	}
	address := endpoint
	if parsed, err := url.Parse(endpoint); err == nil && parsed.Host != "" {
		address = parsed.Host
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return unreachable(address, err), ""
	}
	defer connection.Close() //nolint:errcheck // Nothing was written to it.
	deadline, _ := ctx.Deadline()
	if err := connection.SetDeadline(deadline); err != nil {
		return unreachable(address, err), ""
	}
	if config == nil || strings.HasPrefix(endpoint, "http://") {
		// gRPC's ALPN name makes an etcd go through with the handshake.
		err = tls.Client(connection, &tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // Only to see whether it speaks TLS; nothing is sent.
			NextProtos:         []string{"h2"},
		}).HandshakeContext(ctx)
		if err == nil || isAlert(err) {
			return address + " speaks TLS, and was not asked to",
				"Write the endpoint as https://" + address + ", and name the authority of its certificate with --cacert."
		}
		return "", ""
	}
	own := config.Clone()
	own.NextProtos = []string{"h2"}
	if own.ServerName == "" {
		own.ServerName, _, _ = net.SplitHostPort(address) // Has a port, or it had not been dialled.
	}
	secured := tls.Client(connection, own)
	err = secured.HandshakeContext(ctx)
	if err == nil {
		// A server that refuses the client's certificate says so only after the handshake.
		if _, err = secured.Read(make([]byte, 1)); !isAlert(err) {
			err = nil
		}
	}
	return explainTLS(address, err)
}

func unreachable(address string, err error) string {
	var unknown *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("the name of %s cannot be resolved", address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens at %s", address)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s does not answer", address)
	}
	return fmt.Sprintf("%s: %v", address, err)
}

func explainTLS(address string, err error) (reason, do string) {
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case err == nil:
		return "", ""
	case errors.As(err, &plain), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		// An etcd without TLS hangs up on what it takes for no protocol that it knows.
		return address + " does not speak TLS",
			"Write the endpoint as http://" + address + " and leave out --cacert, --cert and --key, or have etcd serve TLS."
	case errors.As(err, &authority):
		return "the certificate of " + address + " is signed by an unknown authority",
			"Name the authority's certificate with --cacert."
	case errors.As(err, &hostname):
		return fmt.Sprintf("the certificate of %s is for another name: %v", address, hostname),
			"Write the endpoint with a name that the certificate holds."
	case errors.As(err, &invalid):
		return fmt.Sprintf("the certificate of %s is not valid: %v", address, invalid),
			"Renew it, and check this machine's clock."
	case isAlert(err):
		return fmt.Sprintf("%s refuses this client's certificate or misses one: %v", address, err),
			"Give one that etcd trusts with --cert and --key."
	}
	return fmt.Sprintf("%s: %v", address, err), ""
}

// isAlert reports whether err is what a TLS peer said before it hung up.
func isAlert(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "remote error"
}

package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

// Settings say which etcd to use, and as whom.
type Settings struct {
	Endpoints []string

	// CACert, Cert and Key are files in PEM.
	CACert, Cert, Key  string
	InsecureSkipVerify bool

	User, Password string

	// Prefix is the range of keys that has to be readable.
	Prefix string

	// DialTimeout is how long etcd may take to answer at the start.
	DialTimeout time.Duration

	// Dev asks for the shared development etcd in the folder DevDir instead of Endpoints. DevCommand starts it.
	Dev        bool
	DevDir     string
	DevCommand []string
}

// check finds the mistakes that need no etcd.
func (s Settings) check() error {
	usage := func(what, do string) error { return &problem.Error{Kind: problem.Usage, What: what, Do: do} }
	switch {
	case s.Dev:
		return nil
	case len(s.Endpoints) == 0:
		return usage("no etcd endpoints are given", "Name them with --endpoints, TENURE_ENDPOINTS or "+
			"ETCDCTL_ENDPOINTS, or use --dev for an etcd of this machine's own.")
	case (s.Cert == "") != (s.Key == ""):
		return usage("--cert and --key go together", "Give both, or neither.")
	case s.User != "" && s.Password == "":
		return usage(fmt.Sprintf("there is no password for --user %s", s.User),
			"Give it in TENURE_PASSWORD, in a file with --password-file, or as --user name:password.")
	case s.User == "" && s.Password != "":
		return usage("there is a password but no user", "Give the user with --user or TENURE_USER.")
	}
	for _, endpoint := range s.Endpoints {
		if wrong := wrongForm(endpoint); wrong != "" {
			return usage(fmt.Sprintf("--endpoints: %q %s", endpoint, wrong), "Write them as HOST:PORT, separated by commas.")
		}
	}
	if mixed := s.mixedSchemes(); mixed {
		return usage("the endpoints mix http:// and https://", "One connection speaks TLS to all of them or to none.")
	}
	return nil
}

// wrongForm says what is wrong with an endpoint that the client would dial in vain until time is up.
func wrongForm(endpoint string) string {
	scheme, address, found := strings.Cut(endpoint, "://")
	switch {
	case strings.HasPrefix(endpoint, "unix:"), strings.HasPrefix(endpoint, "unixs:"):
		return ""
	case !found:
		address = endpoint
	case scheme != "http" && scheme != "https":
		return "is neither http:// nor https://"
	}
	address, _, _ = strings.Cut(address, "/")
	host, port, err := net.SplitHostPort(address)
	switch {
	case strings.ContainsAny(endpoint, " \t"):
		return "holds a space"
	case address == "" || err == nil && host == "":
		return "has no host"
	case strings.Count(address, ":") > 1 && !strings.HasPrefix(address, "["):
		return "is no address; one of IPv6 goes into brackets, as in [::1]:2379"
	case err != nil || port == "":
		return "has no port; etcd's is usually 2379"
	}
	return ""
}

func (s Settings) mixedSchemes() bool {
	secure := 0
	for _, endpoint := range s.Endpoints {
		if isTLS(endpoint) {
			secure++
		}
	}
	return secure > 0 && secure < len(s.Endpoints)
}

func isTLS(endpoint string) bool {
	return strings.HasPrefix(endpoint, "https://") || strings.HasPrefix(endpoint, "unixs:")
}

// tlsConfig returns nil where the connection is to be in the clear: no TLS flag and no https endpoint, as etcdctl has
// it.
func (s Settings) tlsConfig() (*tls.Config, error) {
	if s.CACert == "" && s.Cert == "" && !s.InsecureSkipVerify && !isTLS(s.Endpoints[0]) {
		return nil, nil //nolint:nilnil // No TLS is a setting, not a failure.
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: s.InsecureSkipVerify, //nolint:gosec // The user asked for it by name.
	}
	usage := func(what string, err error) error { return &problem.Error{Kind: problem.Usage, What: what, Err: err} }
	if s.CACert != "" {
		pem, err := os.ReadFile(s.CACert)
		if err != nil {
			return nil, usage("--cacert cannot be read", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("--cacert "+s.CACert+" holds no certificate in PEM", nil)
		}
	}
	if s.Cert != "" {
		if _, err := s.loadKeyPair(); err != nil {
			return nil, usage("--cert and --key cannot be used", err)
		}
		// Read again at each connection, so that a renewed certificate is taken up without a restart.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.loadKeyPair() }
	}
	return config, nil
}

func (s Settings) loadKeyPair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, fmt.Errorf("load the client certificate: %w", err)
	}
	return &pair, nil
}

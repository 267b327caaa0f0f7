package etcdsim

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// linkCreds tells the server which link a connection belongs to.
type linkCreds struct{}

var errServerOnly = errors.New("etcdsim: these credentials are a server's")

func (linkCreds) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errServerOnly
}

func (linkCreds) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info := linkInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
	if s, ok := c.(*serverConn); ok {
		info.link = s.link
	}
	return c, info, nil
}

func (linkCreds) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "link"}
}
func (c linkCreds) Clone() credentials.TransportCredentials { return c }
func (linkCreds) OverrideServerName(string) error           { return nil }

type linkInfo struct {
	credentials.CommonAuthInfo

	link *Link
}

func (linkInfo) AuthType() string { return "link" }

// linkOf returns the link that a request came over.
func linkOf(ctx context.Context) *Link {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(linkInfo); ok {
			return info.link
		}
	}
	return nil
}

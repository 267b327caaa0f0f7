package blobs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/tenure-go/tenure/cmd/tenure/internal/problem"
)

// Container is a container of checkpoints.
type Container struct {
	client *container.Client
	name   string // its URL without a SAS token
}

// Open returns the container with that URL. Access is by the URL's SAS token; without one, by the connection string of
// the storage account, if there is one; and otherwise by this machine's Azure identity. Nothing is sent.
func Open(address, connectionString string) (*Container, error) {
	where, err := url.Parse(address)
	path := ""
	if err == nil {
		path = strings.Trim(where.Path, "/")
	}
	if err != nil || where.Scheme != "https" && where.Scheme != "http" || where.Host == "" || path == "" {
		// The address is not shown: a part of it may be a secret.
		return nil, errors.New("want the URL of a container, such as https://ACCOUNT.blob.core.windows.net/CONTAINER")
	}
	c := &Container{name: where.Scheme + "://" + where.Host + "/" + path}
	switch {
	case where.Query().Get("sig") != "":
		c.client, err = container.NewClientWithNoCredential(address, nil)
	case connectionString != "":
		c.client, err = container.NewClientFromConnectionString(connectionString, path[strings.LastIndex(path, "/")+1:], nil)
		if err == nil && strings.TrimSuffix(c.client.URL(), "/") != c.name {
			return nil, fmt.Errorf("AZURE_STORAGE_CONNECTION_STRING is for %s, and not for %s", c.client.URL(), c.name)
		}
	default:
		var identity *azidentity.DefaultAzureCredential
		if identity, err = azidentity.NewDefaultAzureCredential(nil); err == nil {
			c.client, err = container.NewClient(c.name, identity, nil)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", c.name, err)
	}
	return c, nil
}

// explain says in words what the service has against a request.
func (c *Container) explain(ctx context.Context, err error) error {
	switch {
	case err == nil, ctx.Err() != nil:
		return err
	case bloberror.HasCode(err, bloberror.ContainerNotFound):
		return &problem.Error{Kind: problem.Usage, What: "there is no container " + c.name}
	case bloberror.HasCode(err, bloberror.AuthenticationFailed, bloberror.AuthorizationFailure,
		bloberror.AuthorizationPermissionMismatch, bloberror.InsufficientAccountPermissions,
		bloberror.NoAuthenticationInformation):
		return &problem.Error{Kind: problem.Usage, What: "access to " + c.name + " is denied", Err: err,
			Do: "Give a URL with a SAS token that may list, read and write, AZURE_STORAGE_CONNECTION_STRING, or this " +
				"machine's identity the role Storage Blob Data Contributor."}
	}
	return &problem.Error{What: c.name + " cannot be worked with", Err: err}
}

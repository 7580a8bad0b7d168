package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/replicate/link"
)

// linkClient asks an agent about links.
type linkClient struct {
	*api.Client
	flags *clientFlags
}

func (c *clientFlags) connectLinks() (*linkClient, error) {
	client, err := c.connect()
	return &linkClient{client, c}, err
}

// linkPath is the path of a link, or of an action of it.
func linkPath(name string, action ...string) string {
	return strings.Join(append([]string{"/v1/replicate/links", name}, action...), "/") // the client escapes it
}

// list returns all links, or the one of that name.
func (c *linkClient) list(ctx context.Context, name string) ([]link.Report, error) {
	q := c.flags.query().WithContext(ctx)
	if name == "" {
		reports := []link.Report{} // an empty list in JSON
		_, err := c.Raw().Query("/v1/replicate/links", &reports, q)
		return reports, linkFailed("reading the links", err)
	}
	reports := make([]link.Report, 1)
	_, err := c.Raw().Query(linkPath(name), &reports[0], q)
	return reports, linkFailed("reading the link "+name, err)
}

// order asks something of a link, and returns it as it is then, or nothing if it is removed.
func (c *linkClient) order(ctx context.Context, name string, verb link.Verb) (*link.Report, error) {
	var r link.Report
	if verb == link.Remove {
		_, err := c.Raw().Delete(linkPath(name), new(api.QueryOptions).WithContext(ctx))
		return &r, linkFailed("removing the link "+name, err)
	}
	_, err := c.Raw().Write(linkPath(name, string(verb)), nil, &r, new(api.WriteOptions).WithContext(ctx))
	return &r, linkFailed("changing the link "+name, err)
}

// linkFailed is the agent's own sentence where the request is at fault, and otherwise says
// what failed. It is nil if err is.
func linkFailed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code < http.StatusInternalServerError {
		return failure(strings.TrimSpace(status.Body))
	}
	return failf("Error %s: %s", doing, err)
}

// oneArgument takes the argument of a command, "" if there is none. Flags may stand before it
// and behind it.
func oneArgument(fs *flag.FlagSet, args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	if err := fs.Parse(args[1:]); err != nil {
		return "", usageError(strings.TrimSpace(err.Error() + "\n" + didYouMean(fs, err)))
	}
	if fs.NArg() > 0 {
		return "", wantArgs(append(args[:1], fs.Args()...), 1)
	}
	return args[0], nil
}

// linkName is [oneArgument] for the name of a link. It must not become two parts of a path.
func linkName(fs *flag.FlagSet, args []string) (string, error) {
	name, err := oneArgument(fs, args)
	if strings.Contains(name, "/") {
		err = failf("%q is no name of a link: use letters, digits, - and _", name)
	}
	return name, err
}

// oneLink is [linkName] where a name is needed.
func oneLink(fs *flag.FlagSet, args []string) (string, error) {
	name, err := linkName(fs, args)
	if err == nil && name == "" {
		err = failf("Name the link: \"%s replicate link list\" shows which there are", programName)
	}
	return name, err
}

// prefixText is a prefix, or what stands for all keys.
func prefixText(prefix string) string {
	if prefix == "" {
		return "all keys"
	}
	return prefix
}

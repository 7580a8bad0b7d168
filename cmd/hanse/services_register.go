package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"strconv"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/local"
)

var servicesGroup = command{
	name:     "services",
	short:    "Register, deregister and export services",
	long:     "Registers services with an agent, from files or from the command line, takes\nthem away again, and exports them to other clusters.",
	examples: []string{"services register -name=web -port=80", "services deregister web.json"},
}

var servicesRegister = command{
	name:     "services register",
	args:     "[FILE...]",
	short:    "Register services with an agent",
	long:     "Registers the services that files define, in the form that an agent reads,\nor one service that the options describe.",
	examples: []string{"services register web.json", "services register -name=web -port=80 -tag=v1 -meta=version=1"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		def := &local.Service{Meta: map[string]string{}}
		var tags repeated
		addresses := keyValues{}
		fs.StringVar(&def.ID, "id", "", "The `ID` of the service; its name by default.")
		fs.StringVar(&def.Name, "name", "", "The `name` of the service.")
		fs.StringVar(&def.Address, "address", "", "The `address` of the service; the agent's own by default.")
		fs.IntVar(&def.Port, "port", 0, "The `port` of the service.")
		fs.StringVar(&def.SocketPath, "socket", "", "The `path` of the socket that the service listens on.")
		fs.StringVar(&def.Kind, "kind", "", "The `kind` of the service, for those of a mesh.")
		fs.Var(keyValues(def.Meta), "meta", "A `key=value` of the service's metadata. It may be given several times.")
		fs.Var(&tags, "tag", "A `tag` of the service. It may be given several times.")
		fs.Var(addresses, "tagged-address", "An address for some of the callers, as `name=address:port`. It may be given several times.")
		return func(_ context.Context, std stdio, args []string) error {
			defs, err := servicesIn(args)
			switch {
			case err != nil:
				return err
			case len(args) == 0 && def.Name == "":
				return usageError("Service registration requires at least one argument or flags.")
			case len(args) > 0 && (def.Name != "" || def.ID != ""):
				return failf("Service registration takes files or flags, not both.")
			case len(args) == 0:
				def.Tags = catalog.Tags(tags)
				if def.TaggedAddresses, err = taggedAddresses(addresses); err != nil {
					return err
				}
				defs = []*local.Service{def}
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			return registerAll(c, std, defs)
		}
	},
}

func registerAll(c *api.Client, std stdio, defs []*local.Service) error {
	for _, def := range defs {
		if _, err := c.Raw().Write("/v1/agent/service/register", def, nil, nil); err != nil {
			return failf("Error registering service %q: %s", def.Name, err)
		}
		fmt.Fprintf(std.out, "Registered service: %s\n", def.Name)
	}
	return nil
}

func taggedAddresses(texts keyValues) (map[string]catalog.ServiceAddress, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	all := map[string]catalog.ServiceAddress{}
	for name, text := range texts {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			host, port = text, "0"
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, failf("-tagged-address %s=%s: use name=address:port", name, text)
		}
		all[name] = catalog.ServiceAddress{Address: host, Port: n}
	}
	return all, nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

var servicesExport = command{
	name:  "services export",
	short: "Export a service to other clusters",
	long: "Adds a service and those who may use it to the config entry of the exported\n" +
		"services. What is exported already is left as it is. The entry is for clusters\n" +
		"that peer: Hanse does not peer yet, and finds services of other datacenters\n" +
		"without it.",
	examples: []string{"services export -name=web -consumer-peers=beijing,shenzhen"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		name := fs.String("name", "", "The `name` of the service to export.")
		peers := fs.String("consumer-peers", "", "The `names` of the clusters to export to, with commas between them.")
		partitions := fs.String("consumer-partitions", "", "The `names` of admin partitions to export to, in a Consul that has them.")
		return func(ctx context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			consumers, to := consumersOf(*peers, *partitions)
			switch {
			case *name == "":
				return failf("Missing the required -name flag")
			case len(consumers) == 0:
				return failf("Missing the required -consumer-peers or -consumer-partitions flag")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			if err := export(ctx, c, client.partition, api.ExportedService{Name: *name, Namespace: client.namespace, Consumers: consumers}); err != nil {
				return failf("Error exporting service %q: %s", *name, err)
			}
			fmt.Fprintf(std.out, "Successfully exported service %q to %s\n", *name, to)
			return nil
		}
	},
}

// consumersOf reads two lists of names, and says for people who they are.
func consumersOf(peers, partitions string) (all []api.ServiceConsumer, text string) {
	var parts []string
	for _, list := range []struct{ names, kind string }{{peers, "cluster peers"}, {partitions, "admin partitions"}} {
		var named []string
		for name := range strings.SplitSeq(list.names, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			named = append(named, name)
			if list.kind == "cluster peers" {
				all = append(all, api.ServiceConsumer{Peer: name})
			} else {
				all = append(all, api.ServiceConsumer{Partition: name})
			}
		}
		if len(named) > 0 {
			parts = append(parts, fmt.Sprintf("%s %q", list.kind, strings.Join(named, ",")))
		}
	}
	return all, strings.Join(parts, " and ")
}

// exportTries is how often somebody else may change the entry at the same time.
const exportTries = 5

// export adds a service and its consumers to the entry, unless they are there.
func export(ctx context.Context, c *api.Client, partition string, service api.ExportedService) error {
	if partition == "" {
		partition = "default"
	}
	for range exportTries {
		entry, err := exports(ctx, c, partition)
		if err != nil {
			return err
		}
		if !addExport(entry, service) {
			return nil
		}
		done, _, err := c.ConfigEntries().CAS(entry, entry.ModifyIndex, (&api.WriteOptions{}).WithContext(ctx))
		if err != nil || done {
			return err
		}
	}
	return errors.New("others keep changing the exported services: try again")
}

// exports reads the entry. One that is not there is empty.
func exports(ctx context.Context, c *api.Client, partition string) (*api.ExportedServicesConfigEntry, error) {
	entry, _, err := c.ConfigEntries().Get(api.ExportedServices, partition, (&api.QueryOptions{}).WithContext(ctx))
	if status, ok := errors.AsType[api.StatusError](err); ok && status.Code == http.StatusNotFound {
		return &api.ExportedServicesConfigEntry{Name: partition}, nil
	}
	if err != nil {
		return nil, err
	}
	exported, ok := entry.(*api.ExportedServicesConfigEntry)
	if !ok {
		return nil, fmt.Errorf("the agent answered with an entry of the kind %s", entry.GetKind())
	}
	return exported, nil
}

// addExport tells whether it changed the entry.
func addExport(entry *api.ExportedServicesConfigEntry, service api.ExportedService) (changed bool) {
	at := slices.IndexFunc(entry.Services, func(s api.ExportedService) bool { return s.Name == service.Name && s.Namespace == service.Namespace })
	if at < 0 {
		entry.Services = append(entry.Services, service)
		return true
	}
	for _, consumer := range service.Consumers {
		if !slices.Contains(entry.Services[at].Consumers, consumer) {
			entry.Services[at].Consumers = append(entry.Services[at].Consumers, consumer)
			changed = true
		}
	}
	return changed
}

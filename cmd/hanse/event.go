package main

import (
	"context"
	"flag"
	"fmt"
	"regexp"

	"github.com/hashicorp/consul/api"
)

var eventCommand = command{
	name:  "event",
	args:  "[PAYLOAD]",
	short: "Fire an event at agents",
	long: "Fires an event, which travels to all agents of a datacenter, or to those that\n" +
		"the filters choose. Watches of type event and `/v1/event/list` hear of it.\n" +
		"Name and payload together must fit into about 400 bytes.",
	examples: []string{"event -name=deploy 1.2.3", "event -name=restart -service='^web$' -tag=canary", "event -name=deploy -datacenter=beijing 1.2.3"},
	prepare: func(fs *flag.FlagSet) work {
		client := agentFlags(fs)
		fs.StringVar(&client.datacenter, "datacenter", "", "The `name` of the datacenter to fire it in; the agent's own by default.")
		name := fs.String("name", "", "The `name` of the event.")
		filters := eventFilterFlags(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if *name == "" {
				return usageError("Event name must be specified")
			}
			if err := filters.check(); err != nil {
				return err
			}
			if len(args) > 1 {
				return failf("Too many command line arguments: the payload is one, put it in quotes")
			}
			event := filters.event(*name)
			if len(args) == 1 {
				event.Payload = []byte(args[0])
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			id, _, err := c.Event().Fire(event, nil)
			if err != nil {
				return failf("Error firing event: %s", err)
			}
			fmt.Fprintf(std.out, "Event ID: %s\n", id)
			return nil
		}
	},
}

// eventFilters choose the agents that an event is for, by regular expressions.
type eventFilters struct{ node, service, tag string }

func eventFilterFlags(fs *flag.FlagSet) *eventFilters {
	f := new(eventFilters)
	fs.StringVar(&f.node, "node", "", "A regular `expression` that names of nodes must match.")
	fs.StringVar(&f.service, "service", "", "A regular `expression` that the name of one of the agent's services must match.")
	fs.StringVar(&f.tag, "tag", "", "A regular `expression` that a tag of that service must match; only with -service.")
	return f
}

func (f *eventFilters) check() error {
	for what, text := range map[string]string{"node": f.node, "service": f.service, "tag": f.tag} {
		if _, err := regexp.Compile(text); err != nil {
			return failf("Failed to compile %s filter regexp: %s", what, err)
		}
	}
	if f.tag != "" && f.service == "" {
		return failf("Cannot provide tag filter without service filter.")
	}
	return nil
}

func (f *eventFilters) event(name string) *api.UserEvent {
	return &api.UserEvent{Name: name, NodeFilter: f.node, ServiceFilter: f.service, TagFilter: f.tag}
}

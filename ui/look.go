package ui

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
)

const (
	// patience is how long the page waits for the datacenters, all of them together.
	patience = 3 * time.Second
	// most is how many rows a table shows.
	most = 1000
)

// view is what the page shows.
type view struct {
	Datacenter, Own, Node, Version string
	// Trouble says why this datacenter is not shown, Unlisted why the others are not.
	Trouble, Unlisted string
	Datacenters       []datacenter
	Nodes             []node
	Services          []service
	MoreNodes         int
	MoreServices      int
}

type datacenter struct {
	Name            string
	Own, Here       bool
	Leader, Trouble string
}

type node struct {
	Name, Address, Role string
	Health              health
	Services            int
}

type service struct {
	Name      string
	Instances int
	Passing   int
	Health    health
	Tags      string
}

// health is the worst state of some checks.
type health string

// worse puts the states in order. What is not checked counts as passing.
var worse = map[health]int{catalog.Passing: 0, catalog.Warning: 1, catalog.Critical: 2}

func worst(checks []*catalog.HealthCheck, counts func(*catalog.HealthCheck) bool) health {
	state := health(catalog.Passing)
	for _, c := range checks {
		if h := health(c.Status); counts(c) && worse[h] > worse[state] {
			state = h
		}
	}
	return state
}

// look asks for everything at once.
func (u *UI) look(ctx context.Context, dc, token string) *view {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v := &view{Datacenter: dc, Own: u.cfg.Datacenter, Node: u.cfg.Node, Version: u.cfg.Version}
	ask := asker{u.cfg.Caller, token}
	var wg sync.WaitGroup
	var dump *catalog.IndexedNodeDump
	var roles map[string]string
	var err error
	wg.Go(func() { dump, err = ask.nodes(ctx, dc) })
	wg.Go(func() { roles = ask.roles(ctx, dc) })
	names, unknown := ask.datacenters(ctx)
	if unknown != nil {
		v.Unlisted = plain(unknown)
		names = []string{u.cfg.Datacenter}
	}
	v.Datacenters = make([]datacenter, len(names))
	for i, name := range names {
		wg.Go(func() {
			d := datacenter{Name: name, Own: name == u.cfg.Datacenter, Here: name == dc}
			leader, err := ask.leader(ctx, name)
			switch {
			case err != nil:
				d.Trouble = plain(err)
			case leader == "":
				d.Trouble = rpc.ErrNoLeader.Text
			default:
				d.Leader = leader
			}
			v.Datacenters[i] = d
		})
	}
	wg.Wait()
	if err != nil {
		v.Trouble = plain(err)
		return v
	}
	v.Nodes, v.MoreNodes = first(nodesOf(dump.Dump, roles))
	v.Services, v.MoreServices = first(servicesOf(dump.Dump))
	return v
}

// plain is an error in words.
func plain(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + patience.String()
	}
	return err.Error()
}

func first[T any](rows []T) (shown []T, more int) {
	if len(rows) > most {
		return rows[:most], len(rows) - most
	}
	return rows, 0
}

func nodesOf(dump []*catalog.NodeInfo, roles map[string]string) []node {
	rows := make([]node, len(dump))
	for i, n := range dump {
		rows[i] = node{
			Name: n.Node, Address: n.Address, Role: roles[n.Node], Services: len(n.Services),
			Health: worst(n.Checks, func(c *catalog.HealthCheck) bool { return c.ServiceID == "" }),
		}
	}
	slices.SortFunc(rows, func(a, b node) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

func servicesOf(dump []*catalog.NodeInfo) []service {
	byName := map[string]*service{}
	tags := map[string]map[string]bool{}
	for _, n := range dump {
		for _, s := range n.Services {
			row := byName[s.Service]
			if row == nil {
				row = &service{Name: s.Service, Health: catalog.Passing}
				byName[s.Service], tags[s.Service] = row, map[string]bool{}
			}
			state := worst(n.Checks, func(c *catalog.HealthCheck) bool { return c.ServiceID == "" || c.ServiceID == s.ID })
			row.Instances++
			if state == catalog.Passing {
				row.Passing++
			}
			if worse[state] > worse[row.Health] {
				row.Health = state
			}
			for _, tag := range s.Tags {
				tags[s.Service][tag] = true
			}
		}
	}
	rows := make([]service, 0, len(byName))
	for name, row := range byName {
		row.Tags = strings.Join(slices.Sorted(maps.Keys(tags[name])), ", ")
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b service) int { return cmp.Compare(a.Name, b.Name) })
	return rows
}

// asker makes the calls of one page. Any server may answer them: the page shows what
// is known, and a datacenter without a leader is worth looking at.
type asker struct {
	caller rpc.Caller
	token  string
}

func (a asker) read(dc string) rpc.Read {
	return rpc.Read{Datacenter: dc, QueryOptions: rpc.QueryOptions{Token: a.token, AllowStale: true}}
}

func (a asker) datacenters(ctx context.Context) ([]string, error) {
	names, err := catalog.ListDatacenters.Call(ctx, a.caller, &catalog.DatacentersRequest{Read: a.read("")})
	if err != nil {
		return nil, err
	}
	return *names, nil
}

func (a asker) leader(ctx context.Context, dc string) (string, error) {
	leader, err := operator.Leader.Call(ctx, a.caller, &operator.DCRequest{Read: a.read(dc)})
	if err != nil {
		return "", err
	}
	return *leader, nil
}

func (a asker) nodes(ctx context.Context, dc string) (*catalog.IndexedNodeDump, error) {
	return catalog.NodeDump.Call(ctx, a.caller, &catalog.DCSpecificRequest{Read: a.read(dc)})
}

// roles are the roles of servers by node name. Without them the page says less.
func (a asker) roles(ctx context.Context, dc string) map[string]string {
	rep, err := operator.GetConfiguration.Call(ctx, a.caller, &operator.DCRequest{Read: a.read(dc)})
	if err != nil {
		return nil
	}
	roles := make(map[string]string, len(rep.Servers))
	for _, s := range rep.Servers {
		switch {
		case s.Leader:
			roles[s.Node] = "leader"
		case s.Voter:
			roles[s.Node] = "server"
		default:
			roles[s.Node] = "server, not voting"
		}
	}
	return roles
}

package query

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

// execute asks here, and then where the query fails over to.
func (e *Endpoint) execute(ctx context.Context, call *rpc.Call, req *ExecuteRequest) (*ExecuteReply, error) {
	q, err := find(e.cfg.Store.Read(nil), req.QueryIDOrName)
	if err != nil {
		return nil, err
	}
	options := req.QueryOptions
	if q.Token != "" {
		options.Token = q.Token
		if call.Authz, err = e.cfg.Resolver.Resolve(ctx, q.Token); err != nil {
			return nil, err
		}
	}
	rep := e.empty(call, q)
	if !q.Service.Failover.SkipLocalDatacenter {
		rep.Nodes = e.instances(call, q, req.Connect)
	}
	if len(rep.Nodes) == 0 {
		remote := &ExecuteRemoteRequest{Query: *q, Limit: req.Limit, Connect: req.Connect}
		remote.QueryOptions = options
		return e.failover(ctx, rep, remote)
	}
	rep.Nodes = limited(e.cfg.Catalog.Nearest(e.source(req, q), rep.Nodes), req.Limit)
	return rep, nil
}

// failover asks one datacenter after the other. rep is the answer if none has any.
func (e *Endpoint) failover(ctx context.Context, rep *ExecuteReply, req *ExecuteRemoteRequest) (*ExecuteReply, error) {
	for _, dc := range e.targets(&req.Query.Service.Failover) {
		rep.Failovers++
		ask := *req // of its own: a call that was given up may still be read
		ask.Datacenter = dc
		far, err := e.askRemote(ctx, dc, &ask)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, err
		case err != nil:
			e.cfg.Logger.Warn("prepared query passes over a datacenter", "query", req.Query.Name, "datacenter", dc, "error", err)
		case len(far.Nodes) > 0:
			return &ExecuteReply{
				Service: far.Service, Nodes: far.Nodes, DNS: far.DNS, Datacenter: far.Datacenter,
				PeerName: far.PeerName, Failovers: rep.Failovers,
			}, nil
		}
	}
	return rep, nil
}

// patience is how long one of several datacenters may take to answer.
const patience = 3 * time.Second

func (e *Endpoint) askRemote(ctx context.Context, dc string, req *ExecuteRemoteRequest) (*ExecuteReply, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return ExecuteRemote.Call(ctx, e.cfg.Remote(dc), req)
}

// targets are the datacenters to ask, each once, in order. Those that nobody knows are
// left out.
func (e *Endpoint) targets(f *Failover) []string {
	others := slices.DeleteFunc(slices.Clone(e.cfg.Datacenters()), func(dc string) bool { return dc == e.cfg.Datacenter })
	targets := slices.Clone(others[:min(max(f.NearestN, 0), len(others))])
	wanted := slices.Clone(f.Datacenters)
	for _, t := range f.Targets {
		if t.Peer == "" {
			wanted = append(wanted, t.Datacenter)
		}
	}
	for _, dc := range wanted {
		if slices.Contains(others, dc) && !slices.Contains(targets, dc) {
			targets = append(targets, dc)
		}
	}
	return targets
}

// executeRemote answers for a datacenter that has no instance of its own.
func (e *Endpoint) executeRemote(_ context.Context, call *rpc.Call, req *ExecuteRemoteRequest) (*ExecuteReply, error) {
	rep := e.empty(call, &req.Query)
	rep.Nodes = limited(e.instances(call, &req.Query, req.Connect), req.Limit)
	return rep, nil
}

// empty is an answer without instances. It names the service to those who may know it.
func (e *Endpoint) empty(call *rpc.Call, q *PreparedQuery) *ExecuteReply {
	rep := &ExecuteReply{DNS: q.DNS, Datacenter: e.cfg.Datacenter}
	if call.Keep(rpc.ResourceService, q.Service.Service) {
		rep.Service = q.Service.Service
	}
	return rep
}

// instances are those of this datacenter that the query asks for, in random order.
func (e *Endpoint) instances(call *rpc.Call, q *PreparedQuery, connect bool) []catalog.CheckServiceNode {
	s := &q.Service
	var all []catalog.CheckServiceNode
	for _, i := range e.cfg.Catalog.Instances(s.Service, s.Connect || connect) {
		if s.wants(&i) && call.Keep(rpc.ResourceNode, i.Node.Node) && call.Keep(rpc.ResourceService, i.Service.Service) {
			all = append(all, i)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (s *ServiceQuery) wants(i *catalog.CheckServiceNode) bool {
	return s.isHealthy(i.Checks) && hasAll(i.Node.Meta, s.NodeMeta) && hasAll(i.Service.Meta, s.ServiceMeta) && s.hasTags(i.Service.Tags)
}

func (s *ServiceQuery) isHealthy(checks []*catalog.HealthCheck) bool {
	return !slices.ContainsFunc(checks, func(c *catalog.HealthCheck) bool {
		bad := c.Status == catalog.Critical || (s.OnlyPassing && c.Status != catalog.Passing)
		return bad && !slices.Contains(s.IgnoreCheckIDs, c.CheckID)
	})
}

func hasAll(pairs, want map[string]string) bool {
	for key, value := range want {
		if have, found := pairs[key]; !found || have != value {
			return false
		}
	}
	return true
}

func (s *ServiceQuery) hasTags(tags catalog.Tags) bool {
	for _, want := range s.Tags {
		want, not := strings.CutPrefix(want, "!")
		if not == slices.ContainsFunc(tags, func(tag string) bool { return strings.EqualFold(tag, want) }) {
			return false
		}
	}
	return true
}

// source is where the nearest instances are counted from.
func (e *Endpoint) source(req *ExecuteRequest, q *PreparedQuery) *catalog.QuerySource {
	from := catalog.QuerySource{Datacenter: e.cfg.Datacenter, Node: q.Service.Near, Ip: req.Source.Ip}
	if req.Source.Node != "" {
		from.Node = req.Source.Node
	}
	if from.Node == NearAgent {
		from.Datacenter, from.Node = req.Agent.Datacenter, req.Agent.Node
	}
	return &from
}

func limited(nodes []catalog.CheckServiceNode, limit int) []catalog.CheckServiceNode {
	if limit > 0 && len(nodes) > limit {
		return nodes[:limit]
	}
	return nodes
}

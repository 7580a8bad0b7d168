package catalog

import (
	"context"
	"slices"
	"strings"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// This file holds the methods about services and their health.

func (e *Endpoint) listServices(_ context.Context, call *rpc.Call, req *DCSpecificRequest) (*IndexedServices, error) {
	filter, err := NewFilter[*ServiceNode](req.Filter)
	if err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	rep := &IndexedServices{Services: map[string][]string{}}
	if ofPeer(v, req.PeerName, &rep.Meta) {
		return rep, nil
	}
	if len(req.NodeMetaFilters) == 0 && req.Filter == "" {
		all := e.answers.all(v)
		rep.Index = all.index
		for name, tags := range all.tags {
			if call.Keep(rpc.ResourceService, name) {
				rep.Services[name] = tags
			}
		}
		return rep, nil
	}
	rep.Index = indexOf(v, tableServices, tableNodes) // rows come and go with their nodes
	for _, row := range everyInstance(v.Unwatched()) {
		if !matchesMeta(row.NodeMeta, req.NodeMetaFilters) || !call.Keep(rpc.ResourceService, row.ServiceName) {
			continue
		}
		keep, err := filter.Keep(row)
		if err != nil {
			return nil, err
		}
		if keep {
			addTags(rep.Services, row.ServiceName, row.ServiceTags)
		}
	}
	return rep, nil
}

// instances finds the instances that a request asks for, nil if there are none. The
// answer's index is set in meta.
func (e *Endpoint) instances(call *rpc.Call, req *ServiceSpecificRequest, meta *rpc.Meta) *answer {
	v := e.store.Read(call.Watch)
	index, name := indexName, touchService(req.ServiceName)
	if req.Connect {
		index, name = indexMesh, touchMesh(req.ServiceName)
	}
	found := e.answers.of(v, index, req.ServiceName, name)
	if found == nil || req.Ingress || req.PeerName != "" {
		meta.SetAbsentSince(v.TouchedAt(tableNodes, tableServices, tableChecks), v.ForgottenAt())
		return nil
	}
	meta.Index = found.index
	return found
}

func (e *Endpoint) serviceNodes(_ context.Context, call *rpc.Call, req *ServiceSpecificRequest) (*IndexedServiceNodes, error) {
	if req.ServiceName == "" && req.ServiceAddress == "" {
		return nil, errNoService
	}
	filter, err := NewFilter[*ServiceNode](req.Filter)
	if err != nil {
		return nil, err
	}
	rep := &IndexedServiceNodes{ServiceNodes: []*ServiceNode{}}
	rows := e.flatInstances(call, req, &rep.Meta)
	if len(rows) == 0 {
		return rep, nil
	}
	tags := req.tags()
	rep.ServiceNodes, err = kept(rows, func(row *ServiceNode) (bool, error) {
		if !matchesMeta(row.NodeMeta, req.NodeMetaFilters) || !hasTags(row.ServiceTags, tags) ||
			!req.isAt(row.ServiceAddress, row.Address) || !mayReadService(call, row.Node, row.ServiceName) {
			return false, nil
		}
		return filter.Keep(row)
	})
	if err == nil {
		rep.ServiceNodes = nearest(e, &req.Source, rep.ServiceNodes, func(row *ServiceNode) string { return row.Node })
	}
	return rep, err
}

// flatInstances are those of the service that is asked for, or of all services for a
// request that has only an address.
func (e *Endpoint) flatInstances(call *rpc.Call, req *ServiceSpecificRequest, meta *rpc.Meta) []*ServiceNode {
	if req.ServiceName == "" {
		v := e.store.Read(call.Watch)
		meta.Index = indexOf(v, tableServices, tableNodes)
		return everyInstance(v.Unwatched())
	}
	if found := e.instances(call, req, meta); found != nil {
		return found.flat()
	}
	return nil
}

func (e *Endpoint) healthServiceNodes(_ context.Context, call *rpc.Call, req *ServiceSpecificRequest) (*IndexedCheckServiceNodes, error) {
	if req.ServiceName == "" {
		return nil, errNoService
	}
	filter, err := NewFilter[CheckServiceNode](req.Filter)
	if err != nil {
		return nil, err
	}
	rep := &IndexedCheckServiceNodes{Nodes: []CheckServiceNode{}}
	found := e.instances(call, req, &rep.Meta)
	if found == nil {
		return rep, nil
	}
	tags := req.tags()
	rep.Nodes, err = kept(found.instances, func(row CheckServiceNode) (bool, error) {
		if !hasMeta(row.Node, req.NodeMetaFilters) || !hasTags(row.Service.Tags, tags) ||
			!req.HealthFilterType.passes(row.Checks) || !mayReadService(call, row.Node.Node, row.Service.Service) {
			return false, nil
		}
		return filter.Keep(row)
	})
	if err == nil {
		rep.Nodes = e.Nearest(&req.Source, rep.Nodes)
	}
	return rep, err
}

func (e *Endpoint) serviceChecks(_ context.Context, call *rpc.Call, req *ServiceSpecificRequest) (*IndexedHealthChecks, error) {
	if req.ServiceName == "" {
		return nil, errNoService
	}
	if req.TagFilter {
		return nil, rpc.Invalid("Tag filtering is not supported")
	}
	v := e.store.Read(call.Watch)
	rep := &IndexedHealthChecks{}
	if ofPeer(v, req.PeerName, &rep.Meta) {
		return rep, nil
	}
	if rep.Index = indexOf(v, touchService(req.ServiceName)); rep.Index == 0 {
		rep.SetAbsentSince(v.TouchedAt(tableServices, tableChecks), v.ForgottenAt())
	}
	rows := v.Unwatched()
	return e.checks(call, rep, rows, &req.Source, req.Filter, req.NodeMetaFilters,
		slices.AppendSeq([]*HealthCheck{}, store.Rows[*HealthCheck](rows, tableChecks, indexName, fold(req.ServiceName))))
}

func (e *Endpoint) nodeChecks(_ context.Context, call *rpc.Call, req *NodeSpecificRequest) (*IndexedHealthChecks, error) {
	v := e.store.Read(call.Watch)
	rep := &IndexedHealthChecks{}
	if ofPeer(v, req.PeerName, &rep.Meta) {
		return rep, nil
	}
	if rep.Index = indexOf(v, touchNodeChecks(req.Node)); rep.Index == 0 {
		rep.SetAbsentSince(v.TouchedAt(tableNodes, tableChecks), v.ForgottenAt())
	}
	rows := v.Unwatched()
	return e.checks(call, rep, rows, &QuerySource{}, req.Filter, nil, checksOn(rows, req.Node))
}

func (e *Endpoint) checksInState(_ context.Context, call *rpc.Call, req *ChecksInStateRequest) (*IndexedHealthChecks, error) {
	v := e.store.Read(call.Watch)
	rep := &IndexedHealthChecks{}
	if ofPeer(v, req.PeerName, &rep.Meta) {
		return rep, nil
	}
	rows := v.Unwatched()
	var checks []*HealthCheck
	if req.State == AnyState {
		rep.Index = indexOf(v, tableChecks)
		checks = slices.AppendSeq([]*HealthCheck{}, store.Rows[*HealthCheck](rows, tableChecks, "id"))
	} else {
		rep.Index = indexOf(v, touchStatus(req.State))
		checks = slices.AppendSeq([]*HealthCheck{}, store.Rows[*HealthCheck](rows, tableChecks, indexStatus, req.State))
	}
	if rep.Index == 0 {
		rep.SetAbsentSince(v.TouchedAt(tableChecks), v.ForgottenAt())
	}
	if len(req.NodeMetaFilters) > 0 {
		rep.Index = max(rep.Index, indexOf(v, tableNodes))
	}
	return e.checks(call, rep, rows, &req.Source, req.Filter, req.NodeMetaFilters, checks)
}

// checks completes a list of checks with what the caller asked for and may see.
func (e *Endpoint) checks(call *rpc.Call, rep *IndexedHealthChecks, v *store.View, source *QuerySource, expression string, meta map[string]string, rows []*HealthCheck) (*IndexedHealthChecks, error) {
	filter, err := NewFilter[*HealthCheck](expression)
	if err != nil {
		return nil, err
	}
	rep.HealthChecks, err = kept(rows, func(c *HealthCheck) (bool, error) {
		if len(meta) > 0 {
			node, found := LookupNode(v, c.Node)
			if !found || !hasMeta(node, meta) {
				return false, nil
			}
		}
		if !mayReadCheck(call, c) {
			return false, nil
		}
		return filter.Keep(c)
	})
	if err == nil {
		rep.HealthChecks = nearest(e, source, rep.HealthChecks, func(c *HealthCheck) string { return c.Node })
	}
	return rep, err
}

// gatewayServices finds nothing: see [GatewayService].
func (e *Endpoint) gatewayServices(_ context.Context, _ *rpc.Call, req *ServiceSpecificRequest) (*IndexedGatewayServices, error) {
	if req.ServiceName == "" {
		return nil, rpc.Invalid("Must provide gateway name")
	}
	rep := &IndexedGatewayServices{Services: []*GatewayService{}}
	rep.SetAbsent(1)
	return rep, nil
}

// tags are the tags that instances must have, in any case of letters.
func (r *ServiceSpecificRequest) tags() []string {
	switch {
	case !r.TagFilter:
		return nil
	case r.ServiceTag != "":
		return []string{r.ServiceTag}
	}
	return r.ServiceTags
}

func hasTags(tags Tags, want []string) bool {
	for _, w := range want {
		if !slices.ContainsFunc(tags, func(tag string) bool { return strings.EqualFold(tag, w) }) {
			return false
		}
	}
	return true
}

// isAt tells whether an instance at the given address, or else at its node's, is one of
// those asked for.
func (r *ServiceSpecificRequest) isAt(address, node string) bool {
	return r.ServiceAddress == "" || r.ServiceAddress == or(address, node)
}

// passes tells whether an instance with these checks stays in the answer.
func (f HealthFilter) passes(checks []*HealthCheck) bool {
	switch f {
	case NotCritical:
		return !slices.ContainsFunc(checks, func(c *HealthCheck) bool { return c.Status == Critical })
	case OnlyPassing:
		return !slices.ContainsFunc(checks, func(c *HealthCheck) bool { return c.Status != Passing })
	}
	return true
}

func mayReadService(call *rpc.Call, node, service string) bool {
	return call.Keep(rpc.ResourceNode, node) && call.Keep(rpc.ResourceService, service)
}

func mayReadCheck(call *rpc.Call, c *HealthCheck) bool {
	return call.Keep(rpc.ResourceNode, c.Node) && (c.ServiceName == "" || call.Keep(rpc.ResourceService, c.ServiceName))
}

package catalog

import (
	"context"
	"fmt"
	"strings"

	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Errors of requests that lack what they are about. Clients match their texts.
var (
	errNoNode    = rpc.Invalid("Must provide node")
	errNoService = rpc.Invalid("Must provide service name")
)

func (e *Endpoint) register(ctx context.Context, call *rpc.Call, req *RegisterRequest) (*rpc.Nothing, error) {
	cmd, err := e.registration(req)
	if err != nil {
		return nil, err
	}
	if err := allowRegister(call, e.store.Read(nil), cmd); err != nil {
		return nil, err
	}
	if _, _, err := store.Propose[bool](ctx, e.log, opRegister, cmd); err != nil {
		return nil, err
	}
	return &rpc.Nothing{}, nil
}

// registration makes complete rows of a request, which it leaves as it is.
func (e *Endpoint) registration(req *RegisterRequest) (*register, error) {
	node := &Node{
		ID: req.ID, Node: req.Node, Address: req.Address, Datacenter: e.datacenter,
		TaggedAddresses: req.TaggedAddresses, Meta: req.NodeMeta, Locality: req.Locality,
	}
	if err := CheckNode(node, req.SkipNodeUpdate); err != nil {
		return nil, err
	}
	cmd := &register{Node: node, KeepNode: req.SkipNodeUpdate}
	if req.Service != nil {
		s, err := CompleteService(req.Service)
		if err != nil {
			return nil, err
		}
		cmd.Service = s
	}
	checks := req.Checks
	if req.Check != nil {
		checks = append([]*HealthCheck{req.Check}, checks...)
	}
	for _, check := range checks {
		if check == nil {
			continue
		}
		c, err := CompleteCheck(check, req.Node)
		if err != nil {
			return nil, err
		}
		cmd.Checks = append(cmd.Checks, c)
	}
	return cmd, nil
}

// CheckNode refuses a node that is wrong in itself. Only one that is known already may
// come without an address.
func CheckNode(n *Node, known bool) error {
	switch {
	case n.Node == "":
		return errNoNode
	case n.Address == "" && !known:
		return rpc.Invalid("Must provide address if SkipNodeUpdate is not set")
	}
	if n.ID != "" {
		if _, err := uuid.ParseUUID(n.ID); err != nil {
			return rpc.Invalid("Bad node ID: " + err.Error())
		}
	}
	return checkName("node name", n.Node)
}

// CompleteService returns a copy of a service with its defaults, or says what is wrong
// with it.
func CompleteService(s *NodeService) (*NodeService, error) {
	row := *s
	if row.Service == "" {
		return nil, rpc.Invalid("Must provide service name (Service.Service)")
	}
	if row.Port < 0 || row.Port > 65535 {
		return nil, rpc.Invalid(fmt.Sprintf("Invalid service port %d (Service.Port): use 0 to 65535", row.Port))
	}
	row.ID = or(row.ID, row.Service)
	if row.Weights == nil || *row.Weights == (Weights{}) {
		row.Weights = &Weights{Passing: 1, Warning: 1}
	}
	if row.Kind == KindConnectProxy && row.Proxy.DestinationServiceName == "" {
		return nil, rpc.Invalid("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
	}
	for _, err := range []error{
		checkName("service name", row.Service), checkName("service ID", row.ID),
		checkName("Proxy.DestinationServiceName", row.Proxy.DestinationServiceName),
	} {
		if err != nil {
			return nil, err
		}
	}
	return &row, nil
}

// CompleteCheck returns a copy of a check with its defaults, or says what is wrong with
// it. node is the node it is registered with.
func CompleteCheck(c *HealthCheck, node string) (*HealthCheck, error) {
	row := *c
	row.Node = or(row.Node, node)
	if !strings.EqualFold(row.Node, node) {
		return nil, rpc.Invalid(fmt.Sprintf("check node %q does not match node %q", row.Node, node))
	}
	if row.CheckID = or(row.CheckID, row.Name); row.CheckID == "" {
		return nil, rpc.Invalid("Must provide CheckID or Name for a check")
	}
	switch row.Status = or(row.Status, Critical); row.Status {
	case Passing, Warning, Critical:
	default:
		return nil, rpc.Invalid(fmt.Sprintf("Invalid check status %q (Check.Status): use passing, warning or critical", row.Status))
	}
	return &row, checkName("check ID", row.CheckID)
}

// checkName refuses what cannot be part of an index's key.
func checkName(what, name string) error {
	if strings.ContainsRune(name, 0) {
		return rpc.Invalid(fmt.Sprintf("%s %q contains a zero byte", what, name))
	}
	return nil
}

// allowRegister asks for node:write if the node or its own checks change, and for
// service:write on every service that does.
func allowRegister(call *rpc.Call, v *store.View, cmd *register) error {
	name := cmd.Node.Node
	if known, found := LookupNode(v, name); !found || (!cmd.KeepNode && changes(known, cmd.Node)) {
		if err := call.Allow(rpc.ResourceNode, rpc.AccessWrite, name); err != nil {
			return err
		}
	}
	if s := cmd.Service; s != nil {
		if err := AllowService(call, v, name, s); err != nil {
			return err
		}
	}
	for _, c := range cmd.Checks {
		if s := cmd.Service; s != nil && c.ServiceID == s.ID {
			continue
		}
		if err := AllowCheck(call, v, name, c.CheckID, c.ServiceID); err != nil {
			return err
		}
	}
	return nil
}

// changes tells whether registering n would change what is known.
func changes(known, n *Node) bool {
	as := *n
	as.ID, as.Revision = or(as.ID, known.ID), known.Revision
	return !same(known, &as)
}

// AllowService asks for service:write on a service, and on the one it would replace. A
// service to be deleted may come without its name.
func AllowService(call *rpc.Call, v *store.View, node string, s *NodeService) error {
	if old, found := LookupService(v, node, s.ID); found {
		err := call.Allow(rpc.ResourceService, rpc.AccessWrite, old.Service)
		if err != nil || s.Service == "" {
			return err
		}
	}
	return call.Allow(rpc.ResourceService, rpc.AccessWrite, s.Service)
}

// AllowCheck asks for write access to what a check belongs to, and to what the check
// that it would replace does: a service of the node, or the node itself.
func AllowCheck(call *rpc.Call, v *store.View, node, id, serviceID string) error {
	if old, found := LookupCheck(v, node, id); found && old.ServiceID != serviceID {
		if err := allowOwner(call, v, node, old.ServiceID); err != nil {
			return err
		}
	}
	return allowOwner(call, v, node, serviceID)
}

func allowOwner(call *rpc.Call, v *store.View, node, serviceID string) error {
	if s, found := LookupService(v, node, serviceID); found {
		return call.Allow(rpc.ResourceService, rpc.AccessWrite, s.Service)
	}
	return call.Allow(rpc.ResourceNode, rpc.AccessWrite, node)
}

func (e *Endpoint) deregister(ctx context.Context, call *rpc.Call, req *DeregisterRequest) (*rpc.Nothing, error) {
	if req.Node == "" {
		return nil, errNoNode
	}
	if err := allowDeregister(call, e.store.Read(nil), req); err != nil {
		return nil, err
	}
	cmd := &deregister{Node: req.Node, ServiceID: req.ServiceID, CheckID: req.CheckID}
	if _, _, err := store.Propose[bool](ctx, e.log, opDeregister, cmd); err != nil {
		return nil, err
	}
	return &rpc.Nothing{}, nil
}

// allowDeregister is content with node:write, and with service:write for a service and
// its checks.
func allowDeregister(call *rpc.Call, v *store.View, req *DeregisterRequest) error {
	err := call.Allow(rpc.ResourceNode, rpc.AccessWrite, req.Node)
	if err == nil {
		return nil
	}
	serviceID := req.ServiceID
	if serviceID == "" {
		c, found := LookupCheck(v, req.Node, req.CheckID)
		if !found {
			return err
		}
		serviceID = c.ServiceID
	}
	if s, found := LookupService(v, req.Node, serviceID); found {
		return call.Allow(rpc.ResourceService, rpc.AccessWrite, s.Service)
	}
	return err
}

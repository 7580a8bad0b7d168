package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// register is the log's form of a registration: complete rows without revisions.
type register struct {
	Node *Node
	// KeepNode leaves a node that exists as it is.
	KeepNode bool
	Service  *NodeService
	Checks   []*HealthCheck
}

// deregister is the log's form of a removal.
type deregister struct {
	Node      string
	ServiceID string
	CheckID   string
}

// The check by which gossip tells whether a node is alive.
const (
	SerfCheckID   = "serfHealth"
	SerfCheckName = "Serf Health Status"
)

// applyRegister checks everything before it writes anything: commands of a batch share
// a transaction.
func applyRegister(tx *store.Tx, cmd *register) (bool, error) {
	if cmd.Node == nil || slices.Contains(cmd.Checks, nil) {
		return false, errors.New("a registration has no node, or a check of nothing")
	}
	name := cmd.Node.Node
	_, known := LookupNode(&tx.View, name)
	keep := known && cmd.KeepNode
	if !keep {
		if err := checkIdentity(&tx.View, cmd.Node); err != nil {
			return false, fmt.Errorf("failed inserting node: %w", err)
		}
	}
	for _, c := range cmd.Checks {
		if !strings.EqualFold(c.Node, name) {
			return false, fmt.Errorf("check node %q does not match node %q", c.Node, name)
		}
		if c.ServiceID == "" || (cmd.Service != nil && cmd.Service.ID == c.ServiceID) {
			continue
		}
		if _, found := LookupService(&tx.View, name, c.ServiceID); !found {
			return false, unknownService(c)
		}
	}
	if !keep {
		putNode(tx, cmd.Node)
	}
	if cmd.Service != nil {
		putService(tx, name, cmd.Service)
	}
	for _, c := range cmd.Checks {
		putCheck(tx, c)
	}
	return true, nil
}

func unknownService(c *HealthCheck) error {
	return rpc.Invalid(fmt.Sprintf("Unknown service ID '%s' for check ID '%s'", c.ServiceID, c.CheckID))
}

func applyDeregister(tx *store.Tx, cmd *deregister) (bool, error) {
	switch {
	case cmd.ServiceID != "":
		dropService(tx, cmd.Node, cmd.ServiceID)
	case cmd.CheckID != "":
		dropCheck(tx, cmd.Node, cmd.CheckID)
	default:
		dropNode(tx, cmd.Node)
	}
	return true, nil
}

// checkIdentity refuses a node whose name is held by another ID that is alive.
func checkIdentity(v *store.View, n *Node) error {
	if n.ID == "" {
		return nil
	}
	named, found := LookupNode(v, n.Node)
	if !found || named.ID == "" || strings.EqualFold(named.ID, n.ID) || !alive(v, named) {
		return nil
	}
	text := fmt.Sprintf("Node name %s is reserved by node %s with name %s (%s)", n.Node, named.ID, named.Node, named.Address)
	if _, renamed := nodeByID(v, n.ID); renamed {
		text = fmt.Sprintf("Error while renaming Node ID: %q (%s): %s", n.ID, n.Address, text)
	}
	return rpc.Invalid(text)
}

// alive tells whether gossip still vouches for n.
func alive(v *store.View, n *Node) bool {
	c, found := LookupCheck(v, n.Node, SerfCheckID)
	return found && c.Status != Critical
}

// putNode adds or changes a node that [checkIdentity] let through.
func putNode(tx *store.Tx, n *Node) {
	row := *n
	row.Revision = Revision{CreateIndex: tx.Index, ModifyIndex: tx.Index}
	if old, renamed := nodeByID(&tx.View, n.ID); renamed && !strings.EqualFold(old.Node, n.Node) {
		dropNode(tx, old.Node)
		row.CreateIndex = old.CreateIndex
	}
	if old, found := LookupNode(&tx.View, n.Node); found {
		if row.ID == "" {
			row.ID = old.ID
		}
		row.CreateIndex = old.CreateIndex
		as := row
		as.Revision = old.Revision
		if same(old, &as) {
			return
		}
	}
	tx.Insert(tableNodes, &row)
	tx.Touch(tableNodes, touchNode(row.Node))
	touchServicesOn(tx, row.Node)
}

// putService adds or changes a service of a node that exists.
func putService(tx *store.Tx, node string, s *NodeService) {
	row := *s
	row.Revision = Revision{CreateIndex: tx.Index, ModifyIndex: tx.Index}
	old, found := lookupInstance(&tx.View, node, s.ID)
	if found {
		row.CreateIndex = old.service.CreateIndex
		as := row
		as.Revision = old.service.Revision
		if same(old.service, &as) {
			return
		}
	}
	i := &instance{node: node, service: &row}
	tx.Insert(tableServices, i)
	tx.Touch(tableServices, touchNode(node))
	touchInstance(tx, i)
	if found {
		settle(tx, old)
		relabelChecks(tx, node, &row)
	}
}

// relabelChecks gives the checks of a service its name and tags.
func relabelChecks(tx *store.Tx, node string, s *NodeService) {
	for _, c := range collect[*HealthCheck](tx, tableChecks, indexService, fold(node), s.ID) {
		if c.ServiceName == s.Service && slices.Equal(c.ServiceTags, s.Tags) {
			continue
		}
		putCheck(tx, c)
	}
}

// putCheck adds or changes a check whose node and service exist.
func putCheck(tx *store.Tx, c *HealthCheck) {
	row := *c
	row.Revision = Revision{CreateIndex: tx.Index, ModifyIndex: tx.Index}
	row.ServiceName, row.ServiceTags = "", nil
	if s, found := LookupService(&tx.View, row.Node, row.ServiceID); found {
		row.ServiceName, row.ServiceTags = s.Service, s.Tags
	}
	old, found := LookupCheck(&tx.View, row.Node, row.CheckID)
	if found {
		row.CreateIndex = old.CreateIndex
		as := row
		as.Revision = old.Revision
		if same(old, &as) {
			return
		}
		touchCheck(tx, old)
	}
	tx.Insert(tableChecks, &row)
	touchCheck(tx, &row)
	if row.Status == Critical {
		tx.Fire(CheckCritical{row.Node, row.CheckID})
	}
}

func dropNode(tx *store.Tx, name string) {
	n, found := LookupNode(&tx.View, name)
	if !found {
		return
	}
	for _, i := range collect[*instance](tx, tableServices, "id_prefix", fold(name)) {
		dropService(tx, name, i.service.ID)
	}
	for _, c := range collect[*HealthCheck](tx, tableChecks, "id_prefix", fold(name)) {
		dropCheck(tx, name, c.CheckID)
	}
	tx.Delete(tableNodes, n)
	tx.Touch(tableNodes)
	tx.Forget(touchNode(name))
	tx.Forget(touchNodeChecks(name))
	tx.Fire(NodeGone{name})
}

func dropService(tx *store.Tx, node, id string) {
	i, found := lookupInstance(&tx.View, node, id)
	if !found {
		return
	}
	for _, c := range collect[*HealthCheck](tx, tableChecks, indexService, fold(node), id) {
		dropCheck(tx, node, c.CheckID)
	}
	tx.Delete(tableServices, i)
	tx.Touch(tableServices, touchNode(node))
	settle(tx, i)
}

func dropCheck(tx *store.Tx, node, id string) {
	c, found := LookupCheck(&tx.View, node, id)
	if !found {
		return
	}
	tx.Delete(tableChecks, c)
	touchCheck(tx, c)
	tx.Fire(CheckGone{c.Node, c.CheckID})
}

// touchInstance notes a change for those who watch the service of i.
func touchInstance(tx *store.Tx, i *instance) {
	tx.Touch(touchService(i.service.Service))
	if name := i.meshName(); name != "" {
		tx.Touch(touchMesh(name))
	}
}

// settle notes for those who watch the services that i was of that it no longer is. A
// service without instances is forgotten: its index is the table's from then on.
func settle(tx *store.Tx, i *instance) {
	settleOne(tx, indexName, i.service.Service, touchService)
	if name := i.meshName(); name != "" {
		settleOne(tx, indexMesh, name, touchMesh)
	}
}

func settleOne(tx *store.Tx, index, name string, touch func(string) string) {
	if _, found := store.First[*instance](&tx.View, tableServices, index, fold(name)); found {
		tx.Touch(touch(name))
		return
	}
	tx.Forget(touch(name))
}

// touchServicesOn notes a change for those who watch any service of a node: what they
// see contains the node and its checks.
func touchServicesOn(tx *store.Tx, node string) {
	for _, i := range collect[*instance](tx, tableServices, "id_prefix", fold(node)) {
		touchInstance(tx, i)
	}
}

// touchCheck notes a change of c for all who may see it.
func touchCheck(tx *store.Tx, c *HealthCheck) {
	tx.Touch(tableChecks, touchStatus(c.Status), touchNodeChecks(c.Node))
	if c.ServiceID == "" {
		touchServicesOn(tx, c.Node)
	} else if i, found := lookupInstance(&tx.View, c.Node, c.ServiceID); found {
		touchInstance(tx, i)
	}
}

// collect is [store.Rows] taken down first: an iterator must not see what is done with
// its rows.
func collect[T any](tx *store.Tx, table, index string, args ...any) []T {
	return slices.Collect(store.Rows[T](&tx.View, table, index, args...))
}

// same tells whether two rows say the same. Every server has to come to the same
// answer, whether its row came from the log or from a snapshot, which may differ in the
// Go types of numbers inside an opaque map: what counts is the encoding.
func same[T any](a, b *T) bool {
	return reflect.DeepEqual(a, b) || bytes.Equal(canonical(a), canonical(b))
}

var canonicalHandle = func() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{}
	h.Canonical = true
	h.StructToArray = true
	return h
}()

func canonical(row any) []byte {
	var out []byte
	if err := codec.NewEncoderBytes(&out, canonicalHandle).Encode(row); err != nil {
		panic("catalog: encode a row: " + err.Error())
	}
	return out
}

package server

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	gometrics "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/rpc"
)

const (
	// reconcileInterval is how often everything is compared, beside every change.
	reconcileInterval = time.Minute
	// reconcileRetry is how soon a member is looked at again after a failure.
	reconcileRetry = time.Second

	serfAlive = "Agent alive and reachable"
	serfDead  = "Agent not live or unreachable"

	// serverService is the service that every server is an instance of.
	serverService = "consul"
)

// reconciler keeps the catalog and the quorum in step with the LAN pool: a member
// that is alive stands in the catalog with a passing check, one that failed with a
// critical one, one that left does not. Servers come into the log and go likewise.
type reconciler struct {
	caller rpc.Caller
	lan    *lan.Pool
	node   *consensus.Node
	pilot  *consensus.Autopilot
	// kin refuses a server whose log is another datacenter's.
	kin  func(context.Context, gossip.Server) error
	self string // name of this server's node
	log  hclog.Logger

	poke    chan struct{}
	replace chan struct{} // the catalog was replaced by a snapshot
	mu      sync.Mutex
	pending map[string]bool // names of members that changed

	broken map[string]error // by name, why a member is not as it should be; of Run alone
}

// Changed notes that something happened to a member. It never blocks.
func (r *reconciler) Changed(member string) {
	r.mu.Lock()
	r.pending[member] = true
	r.mu.Unlock()
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// Replaced notes that the catalog is another one now. It never blocks.
func (r *reconciler) Replaced() {
	select {
	case r.replace <- struct{}{}:
	default:
	}
}

func (r *reconciler) takePending() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.pending
	r.pending = map[string]bool{}
	return taken
}

// Run is the duty: everything at first and every minute, and what changes at once.
func (r *reconciler) Run(ctx context.Context) {
	ticker := time.NewTicker(reconcileInterval)
	defer ticker.Stop()
	retry := time.NewTicker(reconcileRetry)
	defer retry.Stop()
	r.broken = map[string]error{}
	r.all(ctx, false)
	for {
		select {
		case <-ticker.C:
			r.all(ctx, true)
		case <-r.replace:
			r.all(ctx, false)
		case <-r.poke:
			r.some(ctx, r.takePending())
		case <-retry.C:
			r.some(ctx, r.takeFailed())
		case <-ctx.Done():
			return
		}
	}
}

// all compares every member with the catalog and, with reap, what the catalog has
// beyond them. A new leader leaves that for a minute: it may not have met all yet.
func (r *reconciler) all(ctx context.Context, reap bool) {
	defer gometrics.MeasureSince([]string{"leader", "reconcile"}, time.Now())
	members := r.members()
	for _, m := range members {
		r.member(ctx, m)
	}
	if !reap {
		return
	}
	dump, err := catalog.ChecksInState.Call(ctx, r.caller, &catalog.ChecksInStateRequest{State: catalog.AnyState, Read: stale()})
	if err != nil {
		r.log.Error("failed to look for members that are gone", "error", err)
		return
	}
	for _, check := range dump.HealthChecks {
		if _, known := members[check.Node]; !known && check.CheckID == catalog.SerfCheckID {
			r.report(check.Node, r.absent(ctx, check.Node))
		}
	}
}

// absent takes a node that gossip does not know out of the catalog. A server that takes
// part in the log stays: after a restart of everything the log may be whole again long
// before gossip is, and its members must not be expelled for that. Autopilot judges them.
func (r *reconciler) absent(ctx context.Context, name string) error {
	known, err := r.lookup(ctx, name)
	if err != nil || known == nil {
		return err
	}
	members, _ := r.node.Configuration()
	for _, m := range members {
		if string(m.ID) == known.ID {
			r.log.Warn("a server takes part in the log and is not in the LAN pool", "server", name)
			return nil
		}
	}
	return r.gone(ctx, name, known.ID, "reaped")
}

// some compares the named members with the catalog. What fails is tried again soon.
func (r *reconciler) some(ctx context.Context, names map[string]bool) {
	members := r.members()
	for name := range names {
		if m, known := members[name]; known {
			r.member(ctx, m)
		} else {
			r.report(name, r.gone(ctx, name, "", "reaped"))
		}
	}
}

func (r *reconciler) members() map[string]serf.Member {
	members := map[string]serf.Member{}
	for _, m := range r.lan.Members() {
		members[m.Name] = m
	}
	return members
}

func (r *reconciler) member(ctx context.Context, m serf.Member) {
	defer gometrics.MeasureSince([]string{"leader", "reconcileMember"}, time.Now())
	var err error
	switch m.Status {
	case serf.StatusAlive:
		err = r.alive(ctx, m)
	case serf.StatusFailed:
		err = r.failed(ctx, m)
	case serf.StatusLeft:
		err = r.gone(ctx, m.Name, m.Tags["id"], "left")
	}
	r.report(m.Name, err)
}

// report keeps what failed, and logs it once.
func (r *reconciler) report(member string, err error) {
	if err == nil {
		delete(r.broken, member)
		return
	}
	if before := r.broken[member]; before == nil || before.Error() != err.Error() {
		r.log.Error("failed to reconcile member, will retry", "member", member, "error", err)
	}
	r.broken[member] = err
}

func (r *reconciler) takeFailed() map[string]bool {
	failed := map[string]bool{}
	for name := range r.broken {
		failed[name] = true
	}
	return failed
}

// alive brings a member into the catalog, and a server into the log.
func (r *reconciler) alive(ctx context.Context, m serf.Member) error {
	server, isServer := r.lan.Server(m)
	if isServer {
		if err := r.admit(ctx, server); err != nil {
			return err
		}
	}
	want := registration(m, server, isServer, catalog.Passing, serfAlive)
	known, err := r.lookup(ctx, m.Name)
	if err != nil || matches(known, want) {
		return err
	}
	if known != nil && known.ID != "" && want.ID != "" && !strings.EqualFold(known.ID, want.ID) {
		// Gossip vouches for the new one, so the other is gone, with what ran on it.
		r.log.Info("another node has come under the name of a member, deregistering the old one", "member", m.Name, "old", known.ID, "new", want.ID)
		if err := r.deregister(ctx, m.Name); err != nil {
			return err
		}
		known = nil
	}
	r.log.Info("member joined, marking health alive", "member", m.Name)
	return r.register(ctx, known, want)
}

// failed marks a member that the catalog knows.
func (r *reconciler) failed(ctx context.Context, m serf.Member) error {
	want := registration(m, gossip.Server{}, false, catalog.Critical, serfDead)
	known, err := r.lookup(ctx, m.Name)
	if err != nil || known == nil || matches(known, want) {
		return err
	}
	r.log.Info("member failed, marking health critical", "member", m.Name)
	return r.register(ctx, known, want)
}

// register leaves what else is known of a node as it is.
func (r *reconciler) register(ctx context.Context, known *catalog.NodeInfo, want *catalog.RegisterRequest) error {
	want.SkipNodeUpdate = known != nil && known.Address == want.Address && known.ID == want.ID
	if known != nil && !want.SkipNodeUpdate {
		want.TaggedAddresses, want.NodeMeta = known.TaggedAddresses, known.Meta
	}
	_, err := catalog.Register.Call(ctx, r.caller, want)
	return err
}

// gone takes a member out of the log and out of the catalog.
func (r *reconciler) gone(ctx context.Context, name, id, how string) error {
	if name == r.self {
		r.log.Warn("deregistering self should be done by follower", "member", name)
		return nil
	}
	known, err := r.lookup(ctx, name)
	if err != nil {
		return err
	}
	if known != nil && id == "" {
		id = known.ID
	}
	if err := r.expel(name, id); err != nil {
		return err
	}
	if known == nil {
		return nil
	}
	r.log.Info("deregistering member", "member", name, "reason", how)
	return r.deregister(ctx, name)
}

func (r *reconciler) deregister(ctx context.Context, node string) error {
	_, err := catalog.Deregister.Call(ctx, r.caller, &catalog.DeregisterRequest{Node: node})
	return err
}

// admit makes a server a member of the log, if it is not one at that address yet.
func (r *reconciler) admit(ctx context.Context, s gossip.Server) error {
	members, _ := r.node.Configuration()
	member := false
	for _, m := range members {
		if string(m.ID) == s.ID && string(m.Address) == s.Addr() {
			return nil
		}
		member = member || string(m.ID) == s.ID
	}
	if !member {
		if err := r.kin(ctx, s); err != nil {
			return err
		}
	}
	if err := r.pilot.AddServer(pilotServer(s)); err != nil {
		return fmt.Errorf("add server %s to the log: %w", s.Name, err)
	}
	r.log.Info("added peer", "server", s.Name, "address", s.Addr())
	return nil
}

// expel takes a server out of the log, if it is in.
func (r *reconciler) expel(name, id string) error {
	members, _ := r.node.Configuration()
	for _, m := range members {
		if id == "" || string(m.ID) != id {
			continue
		}
		if err := r.pilot.RemoveServer(raft.ServerID(id)); err != nil {
			return fmt.Errorf("remove server %s from the log: %w", name, err)
		}
		r.log.Info("removed peer", "server", name, "id", id)
	}
	return nil
}

func stale() rpc.Read { return rpc.Read{QueryOptions: rpc.QueryOptions{AllowStale: true}} }

func (r *reconciler) lookup(ctx context.Context, node string) (*catalog.NodeInfo, error) {
	rep, err := catalog.GetNodeInfo.Call(ctx, r.caller, &catalog.NodeSpecificRequest{Node: node, Read: stale()})
	if err != nil {
		return nil, fmt.Errorf("look up node %s: %w", node, err)
	}
	if len(rep.Dump) == 0 {
		return nil, nil
	}
	return rep.Dump[0], nil
}

// registration is what the catalog says of a member in the given health.
func registration(m serf.Member, s gossip.Server, isServer bool, status, output string) *catalog.RegisterRequest {
	req := &catalog.RegisterRequest{
		Node: m.Name, ID: m.Tags["id"], Address: m.Addr.String(),
		Check: &catalog.HealthCheck{
			Node: m.Name, CheckID: catalog.SerfCheckID, Name: catalog.SerfCheckName, Status: status, Output: output,
		},
	}
	if isServer {
		req.NodeMeta = map[string]string{"consul-version": s.Version}
		req.Service = &catalog.NodeService{
			ID: serverService, Service: serverService, Port: s.Port,
			Weights: &catalog.Weights{Passing: 1, Warning: 1},
			Meta: map[string]string{
				"version": s.Version, "raft_version": strconv.Itoa(s.RaftVersion),
				"serf_protocol_current": strconv.Itoa(int(m.ProtocolCur)),
				"serf_protocol_min":     strconv.Itoa(int(m.ProtocolMin)),
				"serf_protocol_max":     strconv.Itoa(int(m.ProtocolMax)),
				"read_replica":          strconv.FormatBool(s.ReadReplica),
				"non_voter":             strconv.FormatBool(s.ReadReplica),
			},
		}
	}
	return req
}

// matches tells whether the catalog already says what want would write.
func matches(known *catalog.NodeInfo, want *catalog.RegisterRequest) bool {
	if known == nil || known.Address != want.Address || known.ID != want.ID {
		return false
	}
	checked := false
	for _, c := range known.Checks {
		checked = checked || c.CheckID == catalog.SerfCheckID && c.Status == want.Check.Status
	}
	if want.Service == nil {
		return checked
	}
	for _, s := range known.Services {
		if s.ID == want.Service.ID {
			return checked && s.Port == want.Service.Port && maps.Equal(s.Meta, want.Service.Meta)
		}
	}
	return false
}

package httpapi

import (
	"net/http"
	"strings"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

// Member is one member of a pool as it is shown. Status is serf's number: 1 alive,
// 2 leaving, 3 left, 4 failed.
type Member struct {
	Name        string
	Addr        string
	Port        uint16
	Tags        map[string]string
	Status      int
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// NewMember is how m is shown.
func NewMember(m *serf.Member) Member {
	return Member{
		Name: m.Name, Addr: m.Addr.String(), Port: m.Port, Tags: m.Tags, Status: int(m.Status),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
	}
}

func (a *API) agentMembers(w http.ResponseWriter, r *request) (any, error) {
	authz, err := a.cfg.Resolver.Resolve(r.Context(), r.token())
	if err != nil {
		return nil, err
	}
	filter, err := catalog.NewFilter[Member](r.query.Get("filter"))
	if err != nil {
		return nil, err
	}
	members, err := a.cfg.Agent.Members(r.flag("wan"), r.query.Get("segment"))
	if err != nil {
		return nil, err
	}
	call := &rpc.Call{Authz: authz}
	var shown []Member
	for i := range members {
		m := NewMember(&members[i])
		keep, err := filter.Keep(m)
		if err != nil {
			return nil, err
		}
		// In the WAN pool a name ends in its datacenter, which is no part of the node's.
		if keep && call.Keep(rpc.ResourceNode, strings.TrimSuffix(m.Name, "."+m.Tags["dc"])) {
			shown = append(shown, m)
		}
	}
	if call.Filtered() {
		w.Header()["X-Consul-Results-Filtered-By-Acls"] = yes
	}
	if members != nil {
		shown = list(shown)
	}
	return shown, nil
}

package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	multierror "github.com/hashicorp/go-multierror"

	"github.com/hanse-project/hanse/operator"
)

func (a *API) operatorRoutes() map[string]route {
	return map[string]route{
		"/v1/operator/raft/configuration":      {http.MethodGet: a.raftConfiguration},
		"/v1/operator/raft/peer":               {http.MethodDelete: a.raftRemovePeer},
		"/v1/operator/raft/transfer-leader":    {http.MethodPost: a.raftTransferLeader},
		"/v1/operator/autopilot/configuration": {http.MethodGet: a.autopilotConfiguration, http.MethodPut: a.autopilotConfigure},
		"/v1/operator/autopilot/health":        {http.MethodGet: a.autopilotHealth},
		"/v1/operator/autopilot/state":         {http.MethodGet: a.autopilotState},
		"/v1/operator/usage":                   {http.MethodGet: a.usage},
		"/v1/operator/keyring": {
			http.MethodGet: a.keyring("list"), http.MethodPost: a.keyring("install"),
			http.MethodPut: a.keyring("use"), http.MethodDelete: a.keyring("remove"),
		},
	}
}

func (a *API) raftConfiguration(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.DCRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	rep, err := operator.GetConfiguration.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return rep, nil
}

func (a *API) raftRemovePeer(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.RemovePeerRequest{Address: r.query.Get("address"), ID: r.query.Get("id")}
	a.write(r, &req.Write)
	method := &operator.RemovePeerByAddress
	switch {
	case req.ID == "" && req.Address == "":
		return nil, badRequest("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	case req.ID != "" && req.Address != "":
		return nil, badRequest("Must specify only one of ?id or ?address")
	case req.ID != "":
		method = &operator.RemovePeerByID
	}
	_, err := method.Call(r.Context(), a.cfg.Caller, req)
	return nil, err
}

func (a *API) raftTransferLeader(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.TransferLeaderRequest{ID: r.query.Get("id")}
	a.write(r, &req.Write)
	rep, err := operator.TransferLeader.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return rep, nil
}

// maxRelayFactor is the largest number of members that pass a keyring's answer on.
const maxRelayFactor = 5

// keyring carries out one operation on the gossip keys of all datacenters.
func (a *API) keyring(operation string) handler {
	return func(_ http.ResponseWriter, r *request) (any, error) {
		req := &operator.KeyringRequest{Operation: operation, LocalOnly: r.flag("local-only")}
		if err := a.read(r, &req.Read); err != nil {
			return nil, err
		}
		if factor := r.query.Get("relay-factor"); factor != "" {
			n, err := strconv.ParseUint(factor, 10, 8)
			if err != nil {
				return nil, badRequest("Invalid relay-factor: " + err.Error())
			}
			if n > maxRelayFactor {
				return nil, badRequest("Invalid relay-factor: Relay factor must be in range: [0, 5]")
			}
			req.RelayFactor = uint8(n)
		}
		if operation != "list" {
			if req.LocalOnly {
				return nil, badRequest("local-only parameter cannot be used to " + operation + " a key: keys change everywhere or nowhere")
			}
			var body struct{ Key string }
			if err := r.decode(&body); err != nil {
				return nil, err
			}
			req.Key = body.Key
		}
		rep, err := operator.Keyring.Call(r.Context(), a.cfg.Caller, req)
		if err != nil {
			return nil, err
		}
		if err := keyringErrors(rep.Responses); err != nil || operation != "list" {
			return nil, err
		}
		return keyringShape(rep.Responses), nil
	}
}

// keyringPool is one pool's answer as it is shown.
type keyringPool struct {
	WAN         bool
	Datacenter  string
	Segment     string
	Messages    map[string]string `json:",omitempty"`
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int
}

func keyringShape(responses []*operator.KeyringResponse) []keyringPool {
	pools := make([]keyringPool, len(responses))
	for i, r := range responses {
		pools[i] = keyringPool{
			WAN: r.WAN, Datacenter: r.Datacenter, Segment: r.Segment, Messages: r.Messages,
			Keys: r.Keys, PrimaryKeys: r.PrimaryKeys, NumNodes: r.NumNodes,
		}
	}
	return pools
}

// keyringErrors is nil if all pools did it, and otherwise tells of every member that
// did not.
func keyringErrors(responses []*operator.KeyringResponse) error {
	var all *multierror.Error
	for _, r := range responses {
		if r.Error == "" {
			continue
		}
		pool := r.Datacenter + " (LAN)"
		if r.WAN {
			pool = "WAN"
		}
		all = multierror.Append(all, fmt.Errorf("%s error: %s", pool, r.Error))
		for _, member := range slices.Sorted(maps.Keys(r.Messages)) {
			all = multierror.Append(all, fmt.Errorf("%s: %s", member, r.Messages[member]))
		}
	}
	return all.ErrorOrNil()
}

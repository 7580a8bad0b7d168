package server

import (
	"fmt"
	"slices"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/coordinate"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/wan"
)

// pools are the two gossip pools as the operator's questions need them.
type pools struct {
	datacenter string
	lan        *lan.Pool
	wan        *wan.Pool // nil if this server is in no WAN pool
}

var _ operator.Pools = pools{}

// NodeName implements [operator.Pools].
func (p pools) NodeName(id string) string {
	for _, s := range p.lan.Servers() {
		if s.ID == id {
			return s.Name
		}
	}
	return ""
}

// Datacenters implements [operator.Pools].
func (p pools) Datacenters() []string {
	return slices.DeleteFunc(p.all(), func(dc string) bool { return dc == p.datacenter })
}

// all are the datacenters, the nearest first. Ours is always one.
func (p pools) all() []string {
	if p.wan == nil {
		return []string{p.datacenter}
	}
	dcs := p.wan.Datacenters()
	if !slices.Contains(dcs, p.datacenter) {
		dcs = append([]string{p.datacenter}, dcs...)
	}
	return dcs
}

// places are the coordinates of the servers in the WAN pool, by datacenter, the nearest
// first. Servers that were never probed have none.
func (p pools) places() []coordinate.DatacenterMap {
	places := []coordinate.DatacenterMap{}
	if p.wan == nil {
		return places
	}
	servers := p.wan.Servers()
	for _, dc := range p.wan.Datacenters() {
		place := coordinate.DatacenterMap{Datacenter: dc, AreaID: coordinate.AreaWAN, Coordinates: []*coordinate.Coordinate{}}
		for _, s := range servers {
			if s.Datacenter != dc || s.Status == serf.StatusLeft {
				continue
			}
			if at, known := p.wan.CoordinateOf(s.Member); known {
				place.Coordinates = append(place.Coordinates, &coordinate.Coordinate{Node: s.Name, Coord: at})
			}
		}
		places = append(places, place)
	}
	return places
}

// Keyring implements [operator.Pools].
func (p pools) Keyring(wan bool, operation, key string, relayFactor uint8) *operator.KeyringResponse {
	rep := &operator.KeyringResponse{
		WAN: wan, Datacenter: p.datacenter,
		Keys: map[string]int{}, PrimaryKeys: map[string]int{}, Messages: map[string]string{},
	}
	pool := p.lan.Pool
	if wan {
		if p.wan == nil {
			rep.Error = "this server is in no WAN pool"
			return rep
		}
		pool = p.wan.Pool
	}
	answer, err := keyOperation(pool, operation, key, relayFactor)
	if answer != nil {
		rep.NumNodes = answer.NumNodes
		fill(rep.Keys, answer.Keys)
		fill(rep.PrimaryKeys, answer.PrimaryKeys)
		fill(rep.Messages, answer.Messages)
	}
	if err != nil {
		rep.Error = err.Error()
	}
	return rep
}

func fill[V any](into, from map[string]V) {
	for k, v := range from {
		into[k] = v
	}
}

func keyOperation(pool *gossip.Pool, operation, key string, relayFactor uint8) (*serf.KeyResponse, error) {
	opts := &serf.KeyRequestOptions{RelayFactor: relayFactor}
	switch operation {
	case "list":
		return pool.Keys().ListKeysWithOptions(opts)
	case "install":
		return pool.Keys().InstallKeyWithOptions(key, opts)
	case "use":
		return pool.Keys().UseKeyWithOptions(key, opts)
	case "remove":
		return pool.Keys().RemoveKeyWithOptions(key, opts)
	}
	return nil, fmt.Errorf("unknown keyring operation %q", operation)
}

package local

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hanse-project/hanse/catalog"
)

// sidecarSuffix is what the ID and the name of a sidecar have behind those of its service.
const sidecarSuffix = "-sidecar-proxy"

// Ports is a range of them, both ends in it. It is empty unless Min is above 0.
type Ports struct{ Min, Max int }

// Connect is what the definition of a service says of the mesh.
type Connect struct {
	// Native is true for a service that takes mesh connections itself.
	Native   bool              `json:",omitempty"`
	PeerMeta *catalog.PeerMeta `json:",omitempty"`
	// SidecarService defines a proxy that comes and goes with the service. What it leaves
	// out follows from the service, as documented at
	// https://developer.hashicorp.com/consul/docs/connect/proxies/deploy-sidecar-services.
	SidecarService *Service `json:",omitempty"`
}

// wantsSidecar tells whether a proxy comes with the service.
func (d *Service) wantsSidecar() bool { return d.Connect != nil && d.Connect.SidecarService != nil }

// SidecarName is the name of the proxy that comes with the service, "" if there is none.
func (d *Service) SidecarName() string {
	if !d.wantsSidecar() {
		return ""
	}
	return cmp.Or(d.Connect.SidecarService.Name, d.Name+sidecarSuffix)
}

// sidecar makes the definition of the proxy that comes with a complete service, nil if
// there is none. It is complete but for its port and its checks: see [State.finish].
func (d *Service) sidecar() (*Service, error) {
	if !d.wantsSidecar() {
		return nil, nil
	}
	side := *d.Connect.SidecarService
	switch {
	case side.ID != "":
		return nil, invalid("Invalid sidecar_service: ID cannot be set, it is always that of the service with " + sidecarSuffix)
	case side.Kind != "" && side.Kind != catalog.KindConnectProxy:
		return nil, invalidf("Invalid sidecar_service: Kind is %q: leave it out, it is always %s", side.Kind, catalog.KindConnectProxy)
	case side.wantsSidecar():
		return nil, invalid("Invalid sidecar_service: it cannot have a sidecar_service itself")
	case side.Connect != nil && side.Connect.Native:
		return nil, invalid("Invalid sidecar_service: Connect.Native is true: a proxy cannot be native")
	}
	side.ID, side.Name, side.Kind, side.sidecarOf = d.ID+sidecarSuffix, d.SidecarName(), catalog.KindConnectProxy, d.ID
	side.Token = cmp.Or(side.Token, d.Token)
	side.Namespace, side.Partition = cmp.Or(side.Namespace, d.Namespace), cmp.Or(side.Partition, d.Partition)
	if side.Tags == nil {
		side.Tags = slices.Clone(d.Tags)
	}
	if side.Meta == nil {
		side.Meta = maps.Clone(d.Meta)
	}
	if side.Locality == nil {
		side.Locality = d.Locality
	}
	proxy := catalog.Proxy{}
	if side.Proxy != nil {
		proxy = *side.Proxy
	}
	proxy.DestinationServiceName = cmp.Or(proxy.DestinationServiceName, d.Name)
	proxy.DestinationServiceID = cmp.Or(proxy.DestinationServiceID, d.ID)
	if proxy.LocalServiceSocketPath == "" && proxy.LocalServicePort == 0 && d.Port == 0 {
		proxy.LocalServiceSocketPath = d.SocketPath
	}
	if proxy.LocalServiceSocketPath == "" {
		proxy.LocalServiceAddress = cmp.Or(proxy.LocalServiceAddress, "127.0.0.1")
		proxy.LocalServicePort = cmp.Or(proxy.LocalServicePort, d.Port)
	}
	side.Proxy = &proxy
	// The checks of the service's own definition stay as they were given.
	side.Check, side.Checks = cloned(side.Check), cloned(side.Checks)
	return &side, nil
}

func cloned(list []*Check) []*Check {
	var out []*Check
	for _, c := range list {
		if c != nil {
			out = append(out, new(*c))
		}
	}
	return out
}

// finish completes the definition of a sidecar that has its port, and says what is wrong
// with it.
func (s *State) finish(side *Service, scripts bool, refusal error) error {
	if len(side.Check)+len(side.Checks) == 0 {
		if side.Port > 0 {
			side.Checks = append(side.Checks, &Check{
				Name:     "Connect Sidecar Listening",
				TCP:      net.JoinHostPort(cmp.Or(side.Address, "127.0.0.1"), strconv.Itoa(side.Port)),
				Interval: catalog.Duration(10 * time.Second),
			})
		}
		side.Checks = append(side.Checks, &Check{Name: "Connect Sidecar Aliasing " + side.sidecarOf, AliasService: side.sidecarOf})
	}
	side.complete()
	err := s.validate(side, scripts, refusal)
	if wrong, ok := errors.AsType[*InvalidError](err); ok {
		return invalid("Invalid sidecar_service: " + wrong.text)
	}
	return err
}

// hasSidecar tells whether a service is registered with a proxy that goes with it.
func (s *State) hasSidecar(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.services[id+sidecarSuffix]
	return e != nil && e.def.sidecarOf == id
}

// sidecarOf makes the definition of the proxy that comes with a service, nil if there is
// none. The caller holds s.change, all of it.
func (s *State) sidecarOf(def *Service, scripts bool, refusal error) (*Service, error) {
	side, err := def.sidecar()
	if side == nil || err != nil {
		return nil, err
	}
	taken := s.takenPorts(func(e *service) bool { return e.def.ID != side.ID })
	if _, err := s.assign([]*Service{side}, taken); err != nil {
		return nil, err
	}
	return side, s.finish(side, scripts, refusal)
}

// takenPorts are those of the registered services that which is true for.
func (s *State) takenPorts(which func(*service) bool) map[int]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := map[int]bool{}
	for _, e := range s.services {
		if which(e) {
			taken[e.row.Port] = true
		}
	}
	return taken
}

// assign gives ports of the range to sidecars that name none: the one that a sidecar has
// already if it is free, or else the lowest that is. taken grows by them. An error is about
// the service that has the ID without.
func (s *State) assign(sides []*Service, taken map[int]bool) (without string, err error) {
	ports := s.cfg.SidecarPorts
	var rest []*Service
	for _, side := range sides {
		if side.Port != 0 || side.SocketPath != "" {
			continue
		}
		had := 0
		s.mu.Lock()
		if old := s.services[side.ID]; old != nil && old.def.sidecarOf == side.sidecarOf {
			had = old.row.Port
		}
		s.mu.Unlock()
		if had < ports.Min || had > ports.Max || taken[had] || had == 0 {
			rest = append(rest, side)
			continue
		}
		side.Port, taken[had] = had, true
	}
	next := ports.Min
	for _, side := range rest {
		for ports.Min > 0 && next <= ports.Max && taken[next] {
			next++
		}
		if ports.Min <= 0 || next > ports.Max {
			return side.sidecarOf, invalidf("Invalid sidecar_service: no port is left in the range of %d to %d: name a Port, or widen ports.sidecar_min_port and ports.sidecar_max_port",
				ports.Min, ports.Max)
		}
		side.Port, taken[next] = next, true
	}
	return "", nil
}

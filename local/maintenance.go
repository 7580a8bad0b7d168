package local

import (
	"strings"

	"github.com/hanse-project/hanse/catalog"
)

// Checks that take a service or the node out of service by hand. Clients look for them.
const (
	nodeMaintenance     = "_node_maintenance"
	serviceMaintenances = "_service_maintenance:"

	noReasonNode    = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
	noReasonService = "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
)

// maintains tells whether the check is one of maintenance, which nothing runs.
func (c *Check) maintains() bool {
	return c.ID == nodeMaintenance || c.ServiceID != "" && c.ID == serviceMaintenances+c.ServiceID
}

// MaintainService takes a service out of service, or puts it back. It is kept across
// restarts. token is what the check is registered in the catalog with.
func (s *State) MaintainService(id string, on bool, reason, token string) error {
	s.change.Lock()
	defer s.change.Unlock()
	if _, _, _, found := s.Service(id); !found {
		return noService(id)
	}
	return s.maintain(&Check{
		ID: serviceMaintenances + id, Name: "Service Maintenance Mode", ServiceID: id,
		Notes: or(reason, noReasonService), Status: catalog.Critical, Token: token,
	}, on)
}

// MaintainNode does so for all that runs here.
func (s *State) MaintainNode(on bool, reason, token string) error {
	s.change.Lock()
	defer s.change.Unlock()
	return s.maintain(&Check{
		ID: nodeMaintenance, Name: "Node Maintenance Mode", Notes: or(reason, noReasonNode), Status: catalog.Critical, Token: token,
	}, on)
}

// maintain adds a check unless it is there, or removes it. The caller holds s.change.
func (s *State) maintain(def *Check, on bool) error {
	_, known := s.Check(def.ID)
	switch {
	case on && !known:
		s.log.Info("entered maintenance mode", "check", def.ID, "reason", def.Notes)
		return s.addCheck(def)
	case !on && known:
		s.log.Info("left maintenance mode", "check", def.ID)
		return s.removeCheck(def.ID)
	}
	return nil
}

func or(a, b string) string {
	if strings.TrimSpace(a) == "" {
		return b
	}
	return a
}

package local

import (
	"context"
	"time"
)

// reap deregisters services with a check that has been critical for as long as its
// definition says, until ctx ends.
func (s *State) reap(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.ReapEvery)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			for service, check := range s.overdue(now) {
				s.log.Info("Check for service has been critical for too long, deregistering service", "service", service, "check", check)
				if err := s.DeregisterService(service); err != nil {
					s.log.Warn("a critical service is not deregistered", "service", service, "error", err)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// overdue returns the services to be deregistered, each with the check that says so.
func (s *State) overdue(now time.Time) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := map[string]string{}
	for id, c := range s.checks {
		after := time.Duration(c.def.DeregisterCriticalServiceAfter)
		if after <= 0 || c.row.ServiceID == "" || c.criticalSince.IsZero() {
			continue
		}
		if now.Sub(c.criticalSince) >= max(after, s.cfg.ReapLeast) {
			due[c.row.ServiceID] = id
		}
	}
	return due
}

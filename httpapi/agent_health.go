package httpapi

import (
	"net/http"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/rpc"
)

// localHealth is the health of one service.
type localHealth struct {
	AggregatedStatus string
	Service          *localService
	Checks           []localCheck
}

// localCheck is a check as these two endpoints show it: all of its definition's keys,
// and not how often it runs.
type localCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags catalog.Tags
	Type        string
	ExposedPort int
	Definition  localCheckDefinition
	CreateIndex uint64
	ModifyIndex uint64
}

type localCheckDefinition struct {
	Interval                       catalog.Duration
	Timeout                        catalog.Duration
	DeregisterCriticalServiceAfter catalog.Duration
	HTTP                           string
	Header                         map[string][]string
	Method                         string
	Body                           string
	TLSServerName                  string
	TLSSkipVerify                  bool
	TCP                            string
	TCPUseTLS                      bool
	UDP                            string
	GRPC                           string
	OSService                      string
	GRPCUseTLS                     bool
}

func (a *API) shownHealth(h *local.Health) *localHealth {
	shown := &localHealth{AggregatedStatus: h.Status, Service: a.shown(h.Service), Checks: []localCheck{}}
	for _, c := range h.Checks {
		shown.Checks = append(shown.Checks, localCheck{
			Node: c.Node, CheckID: c.CheckID, Name: c.Name, Status: c.Status, Notes: c.Notes, Output: c.Output,
			ServiceID: c.ServiceID, ServiceName: c.ServiceName, ServiceTags: c.ServiceTags,
		})
	}
	return shown
}

// statusOfHealth is what load balancers look at.
func statusOfHealth(status string) int {
	switch status {
	case catalog.Passing:
		return http.StatusOK
	case catalog.Warning:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// answerHealth answers with a status, its reason, and either all there is to know or
// the reason alone.
func answerHealth(w http.ResponseWriter, r *request, status int, reason string, value any) (any, error) {
	w.Header().Set("X-Consul-Reason", reason)
	if r.query.Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(reason)) // a client that is gone reads no error
		return written{}, nil
	}
	r.status = status
	return value, nil
}

func (a *API) agentHealthByID(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing serviceID")
	}
	found := a.cfg.Local.HealthOf(func(s *catalog.NodeService) bool { return s.ID == r.name })
	if len(found) == 0 {
		return answerHealth(w, r, http.StatusNotFound, "ServiceId "+r.name+" not found", &localHealth{AggregatedStatus: catalog.Critical})
	}
	h := &found[0]
	if err := a.mayService(r, rpc.AccessRead, h.Service.Service); err != nil {
		return nil, err
	}
	return answerHealth(w, r, statusOfHealth(h.Status), h.Status, a.shownHealth(h))
}

func (a *API) agentHealthByName(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing service Name")
	}
	if err := a.mayService(r, rpc.AccessRead, r.name); err != nil {
		return nil, err
	}
	worst := catalog.Passing
	all := []*localHealth{}
	for _, h := range a.cfg.Local.HealthOf(func(s *catalog.NodeService) bool { return s.Service == r.name }) {
		worst = local.Worst(worst, h.Status)
		all = append(all, a.shownHealth(&h))
	}
	if len(all) == 0 {
		return answerHealth(w, r, http.StatusNotFound, "ServiceName "+r.name+" Not Found", all)
	}
	return answerHealth(w, r, statusOfHealth(worst), worst, all)
}

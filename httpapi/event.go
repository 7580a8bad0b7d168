package httpapi

import (
	"context"
	"net/http"
	"strconv"

	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/rpc"
)

func (a *API) eventRoutes() map[string]route {
	return map[string]route{
		"/v1/event/fire/": {http.MethodPut: a.eventFire},
		"/v1/event/list":  {http.MethodGet: a.eventList},
	}
}

func (a *API) eventFire(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing name")
	}
	e := &event.Event{
		Name: r.name, NodeFilter: r.query.Get("node"), ServiceFilter: r.query.Get("service"), TagFilter: r.query.Get("tag"), Version: 1,
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	body, err := r.body(maxBody)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		e.Payload = body
	}
	if e.ID, err = uuid.GenerateUUID(); err != nil {
		return nil, err
	}
	req := &event.FireRequest{Name: e.Name}
	req.Datacenter, req.Token, req.AllowStale = a.datacenter(r), r.token(), true
	if req.Payload, err = e.Encode(); err != nil {
		return nil, err
	}
	if _, err := event.Fire.Call(r.Context(), a.cfg.Caller, req); err != nil {
		return nil, err
	}
	return e, nil
}

// eventList shows what this agent has heard. With the index of a list it waits for
// another one.
func (a *API) eventList(w http.ResponseWriter, r *request) (any, error) {
	call, err := a.caller(r)
	if err != nil {
		return nil, err
	}
	var wait rpc.Read
	if err := a.read(r, &wait); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait.Wait())
	defer cancel()
	for {
		heard, changed := a.cfg.Events.List(r.query.Get("name"))
		events := make([]*event.Event, 0, len(heard))
		for _, e := range heard {
			if call.Keep(rpc.ResourceEvent, e.Name) {
				events = append(events, e)
			}
		}
		index := max(event.Index(events), 1)
		if index == wait.MinQueryIndex && ctx.Err() == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
			}
		}
		w.Header()["X-Consul-Index"] = []string{strconv.FormatUint(index, 10)}
		tellFiltered(w, call)
		return events, nil
	}
}

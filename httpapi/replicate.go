package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/rpc"
)

func (a *API) replicateRoutes() map[string]route {
	return map[string]route{
		"/v1/replicate/links":   {http.MethodGet: a.links, http.MethodPut: a.linkPut},
		"/v1/replicate/links/":  {http.MethodGet: a.link, http.MethodPut: a.linkPut, http.MethodDelete: a.linkRemove},
		"/v1/replicate/explain": {http.MethodGet: a.replicateExplain},
	}
}

// linkVerbs are what may stand behind the name of a link.
var linkVerbs = map[string]link.Verb{
	"pause": link.Pause, "resume": link.Resume, "resync": link.Resync,
	"approve": link.Approve, "reject": link.Reject, "verify": link.Verify,
}

// linkError gives wrong settings the status of a wrong request.
func linkError(err error) error {
	if rpc.ReasonOf(err) == rpc.ReasonInvalid {
		return wrongRequest{err}
	}
	return err
}

func (a *API) links(w http.ResponseWriter, r *request) (any, error) {
	req := &link.ListRequest{Status: true}
	rep, err := ask(a, w, r, &link.List, req, &req.Read)
	if err != nil {
		return nil, err
	}
	reports := make([]link.Report, len(rep.Links))
	for i, l := range rep.Links {
		reports[i] = shownLink(l)
	}
	return reports, nil
}

func (a *API) link(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing the name of the link")
	}
	req := &link.ListRequest{Name: r.name, Status: true}
	rep, err := ask(a, w, r, &link.List, req, &req.Read)
	if err != nil {
		return nil, err
	}
	if len(rep.Links) == 0 {
		dropMeta(w.Header())
		return nil, rpc.NotFound(fmt.Sprintf("There is no link %q in %s: `hanse replicate link list`, or /v1/replicate/links, shows those there are", r.name, req.Datacenter))
	}
	return shownLink(rep.Links[0]), nil
}

// shownLink has lists where there is nothing in them. What the method answered is shared,
// and stays as it is.
func shownLink(l link.Report) link.Report {
	l.Exclude = list(l.Exclude)
	l.Status.ConflictKeys = list(l.Status.ConflictKeys)
	l.Status.HeldExamples = list(l.Status.HeldExamples)
	l.Status.DivergentExamples = list(l.Status.DivergentExamples)
	return l
}

// linkPut sets a link, or asks something of one: PUT …/NAME, …/NAME/VERB.
func (a *API) linkPut(_ http.ResponseWriter, r *request) (any, error) {
	name, action, acts := strings.Cut(r.name, "/")
	if !acts {
		return a.linkSet(r)
	}
	verb, known := linkVerbs[action]
	if !known {
		return nil, &statusError{http.StatusNotFound, fmt.Sprintf(
			"A link has no action %q: use pause, resume, resync, approve, reject or verify", action)}
	}
	if repair := r.query.Get("repair"); repair != "" {
		if _, err := strconv.ParseBool(repair); err != nil {
			return nil, badRequest(fmt.Sprintf("repair is %q: use true or false", repair))
		}
	}
	return a.linkOrder(r, &link.OrderRequest{Verb: verb, Name: name, Repair: r.flag("repair")})
}

func (a *API) linkSet(r *request) (any, error) {
	body, err := r.body(maxBody)
	if err != nil {
		return nil, err
	}
	req := &link.OrderRequest{Verb: link.Set}
	if req.Link, req.Fields, err = link.ParseSettings(body); err != nil {
		return nil, badRequest("Request decode failed: " + err.Error())
	}
	if r.name != "" && req.Link.Name != "" && req.Link.Name != r.name {
		return nil, badRequest(fmt.Sprintf("The path names the link %q and the body %q: a link keeps its name; remove it and make another", r.name, req.Link.Name))
	}
	req.Name = cmp.Or(r.name, req.Link.Name)
	return a.linkOrder(r, req)
}

// linkOrder gives an order, and answers what the link then is and does.
func (a *API) linkOrder(r *request, req *link.OrderRequest) (any, error) {
	a.write(r, &req.Write)
	rep, err := link.Order.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, linkError(err)
	}
	look := &link.ListRequest{Name: rep.Link.Name, Status: true}
	look.Datacenter, look.Token = req.Datacenter, req.Token
	if now, err := link.List.Call(r.Context(), a.cfg.Caller, look); err == nil && len(now.Links) > 0 {
		return shownLink(now.Links[0]), nil
	}
	// It was done, and the leader that knows more is gone, or somebody removed the link.
	return shownLink(link.Report{Row: rep.Link}), nil
}

func (a *API) linkRemove(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing the name of the link")
	}
	req := &link.OrderRequest{Verb: link.Remove, Name: r.name}
	a.write(r, &req.Write)
	_, err := link.Order.Call(r.Context(), a.cfg.Caller, req)
	return nil, linkError(err)
}

// explained is what links do with a key.
type explained struct {
	Key    string
	Exists bool
	Links  []link.Explanation
}

func (a *API) replicateExplain(w http.ResponseWriter, r *request) (any, error) {
	req := &link.ExplainRequest{Key: r.query.Get("key")}
	if req.Key == "" {
		return nil, badRequest("Missing the key: ask with ?key=")
	}
	rep, err := ask(a, w, r, &link.Explain, req, &req.Read)
	if err != nil {
		return nil, linkError(err)
	}
	return explained{rep.Key, rep.Exists, list(rep.Links)}, nil
}

//go:build linux

package calls

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// queries are the endpoints that clients follow, as they ask for what is not there.
var queries = []string{
	"/v1/kv/none", "/v1/kv/none?recurse", "/v1/kv/none?keys", "/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/none",
	"/v1/catalog/connect/none", "/v1/catalog/node/none", "/v1/catalog/node-services/none", "/v1/catalog/gateway-services/none",
	"/v1/health/node/none", "/v1/health/checks/none", "/v1/health/service/none", "/v1/health/connect/none", "/v1/health/ingress/none",
	"/v1/health/state/any", "/v1/session/list", "/v1/session/node/none", "/v1/query", "/v1/peerings", "/v1/exported-services",
}

// with adds parameters to a path.
func with(path, parameters string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameters
	}
	return path + "?" + parameters
}

// Others answered from a server that had not heard of its leader yet, with an empty list
// and 200, and clients took everything for gone.
func TestServerWithoutALeaderAnswersNoQuery(t *testing.T) {
	fed := lab.New(t, lab.Apart(), lab.Servers("lonely", 1))
	n := fed.Node("lonely-s1")
	n.Flags = []string{"-bootstrap-expect", "3", "-hcl", `performance { rpc_hold_timeout = "50ms" }`}
	fed.Launch(t)
	talk(t, n, call{path: "/v1/agent/self", until: true})
	for _, path := range queries {
		for _, how := range []string{"", "stale", "consistent", "cached"} {
			talk(t, n, call{path: with(path, how), status: 500, begins: "No cluster leader"})
		}
	}
}

// An index of 0 makes clients ask in a loop, as fast as they can.
func TestNoIndexIsZeroAndNothingComesBackAtOnce(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1))
	n := fed.Node("shanghai-c1")
	for _, path := range queries {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			status := 200
			if strings.HasPrefix(path, "/v1/kv/") {
				status = 404
			}
			comesBack(t, n, call{path: path, status: status, check: steady}, "")
			comesBack(t, n, call{path: path, status: status, check: steady}, "&stale")
		})
	}
}

// comesBack makes a call, and once more for what is new, which comes when the wait is over: or
// before, if there is something new indeed.
func comesBack(t *testing.T, n *lab.Node, first call, how string) {
	t.Helper()
	first.method, first.keep = http.MethodGet, []string{"index=X-Consul-Index"}
	next := first
	next.path, next.after = with(first.path, "index=${index}&wait=400ms"+how), 400*time.Millisecond
	lab.Until(t, next.path+" waits", func() error {
		known := map[string]string{}
		a, err := first.make(t.Context(), n, known)
		if err == nil {
			err = first.compare(a, known)
		}
		if err != nil {
			t.Fatalf("%s: %v", first.path, err)
		}
		asked := known["index"]
		if a, err = next.make(t.Context(), n, known); err == nil {
			if index := a.Header.Get("X-Consul-Index"); a.took < next.after && index != asked {
				return fmt.Errorf("the index went from %s to %s", asked, index)
			}
			err = next.compare(a, known)
		}
		if err != nil {
			t.Fatalf("%s with index %s: %v", next.path, asked, err)
		}
		return nil
	})
}

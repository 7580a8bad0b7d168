package httpapi

import (
	"net/http"
	"strings"
)

// later are the beginnings, below /v1/, of endpoints that are not here yet.
var later = []string{
	"agent", "connect", "coordinate", "discovery-chain", "event", "imported-services", "internal", "operator", "peering",
}

// notHere answers for a path below /v1/ that is no endpoint.
func notHere(w http.ResponseWriter, hr *http.Request) {
	family, _, _ := strings.Cut(strings.TrimPrefix(hr.URL.Path, "/v1/"), "/")
	if family == "acl" && hr.Method != http.MethodOptions {
		// Access rules are off, and this is how they are said to be.
		w.Header()["Vary"] = varyEncoding
		w.Header()["X-Consul-Default-Acl-Policy"] = policyAllow
		plainText(w, http.StatusUnauthorized, "ACL support disabled")
		return
	}
	text := "Invalid URL path: not a recognized HTTP API endpoint\n"
	for _, name := range later {
		if family == name {
			text = "This version of Hanse does not have the endpoint " + hr.URL.Path + ": docs/compatibility.md lists those it has\n"
		}
	}
	plainText(w, http.StatusNotFound, text)
}

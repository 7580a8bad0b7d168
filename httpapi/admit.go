package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// admit says which requests are not looked at any further, and parses the parameters
// of the others.
func (a *API) admit(r *request) error {
	if !printable(r.URL.Path) {
		return badRequest("Invalid URL path: it contains characters that cannot be printed, or is not UTF-8")
	}
	for _, prefix := range a.cfg.BlockEndpoints {
		if strings.HasPrefix(r.URL.Path, prefix) {
			return &statusError{http.StatusForbidden, "Endpoint is blocked by agent configuration"}
		}
	}
	if r.Method != http.MethodGet && !a.mayWrite(r.RemoteAddr) {
		return &statusError{http.StatusForbidden, "Access is restricted"}
	}
	for _, e := range enterprise {
		if v := r.Header[e.header]; e.header != "" && len(v) > 0 && v[0] != "" && v[0] != "default" {
			return badRequest("Invalid header: \"" + e.header + "\" - " + e.what + " are a Consul Enterprise feature")
		}
	}
	if r.URL.RawQuery == "" {
		return nil
	}
	var err error
	if r.query, err = parseQuery(r.URL.RawQuery); err != nil {
		return err
	}
	return r.unsupported()
}

// enterprise are the parameters and headers that ask for something that is not here, and
// whose only value would be "default".
var enterprise = []struct{ parameter, header, what string }{
	{"ns", "X-Consul-Namespace", "Namespaces"},
	{"partition", "X-Consul-Partition", "Partitions"},
	{"sameness-group", "", "Sameness groups"},
	{"sg", "", "Sameness groups"},
}

// unsupported refuses parameters that would change the meaning of an answer if they
// were left alone.
func (r *request) unsupported() error {
	for _, e := range enterprise {
		if v := r.query.Get(e.parameter); v != "" && v != "default" {
			return badRequest("Invalid query parameter: \"" + e.parameter + "\" - " + e.what + " are a Consul Enterprise feature")
		}
	}
	return nil
}

// printable keeps out keys and names that would confuse whoever reads them in a list.
func printable(path string) bool {
	for i := 0; i < len(path); i++ {
		if c := path[i]; c < ' ' || c >= 0x7f {
			return printableUnicode(path[i:])
		}
	}
	return true
}

func printableUnicode(path string) bool {
	if !utf8.ValidString(path) {
		return false
	}
	for _, c := range path {
		if !unicode.IsPrint(c) {
			return false
		}
	}
	return true
}

// mayWrite tells whether an address may change anything. Who asks through a Unix
// socket has no address, and the permissions of the file decide.
func (a *API) mayWrite(remote string) bool {
	if len(a.cfg.AllowWriteFrom) == 0 {
		return true
	}
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return true
	}
	addr := from.Addr().Unmap()
	for _, network := range a.cfg.AllowWriteFrom {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

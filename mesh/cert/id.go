package cert

import (
	"fmt"
	"net/url"
	"strings"
)

// trustSuffix ends every trust domain, whatever the DNS domain is.
const trustSuffix = ".consul"

// TrustDomain is the trust domain of the mesh with the given UUID.
func TrustDomain(id string) string { return strings.ToLower(id) + trustSuffix }

// ServiceID is what a SPIFFE ID says of a service.
type ServiceID struct {
	TrustDomain, Namespace, Datacenter, Service string
}

// URI is the ID as it stands in a certificate.
func (id ServiceID) URI() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: id.TrustDomain, Path: "/ns/" + id.Namespace + "/dc/" + id.Datacenter + "/svc/" + id.Service}
}

// ParseServiceID reads the SPIFFE ID of a service. [NotService] says that it is the ID of
// something else.
func ParseServiceID(text string) (ServiceID, error) {
	u, err := url.Parse(text)
	if err != nil {
		return ServiceID{}, err
	}
	return ServiceIDOf(u)
}

// ServiceIDOf is [ParseServiceID] for a URI.
func ServiceIDOf(u *url.URL) (ServiceID, error) {
	if u.Scheme != "spiffe" {
		return ServiceID{}, fmt.Errorf("SPIFFE ID must have 'spiffe' scheme")
	}
	if u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return ServiceID{}, fmt.Errorf("SPIFFE ID is not in the expected format: %s", u)
	}
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(u.EscapedPath(), "/"), "/") {
		plain, err := url.PathUnescape(part)
		if err != nil || strings.Contains(plain, "/") {
			return ServiceID{}, fmt.Errorf("SPIFFE ID is not in the expected format: %s", u)
		}
		parts = append(parts, plain)
	}
	if len(parts) == 8 && parts[0] == "ap" { // the default partition may be named
		parts = parts[2:]
	}
	switch {
	case len(parts) == 6 && parts[0] == "ns" && parts[2] == "dc" && parts[4] == "svc" &&
		parts[1] != "" && parts[3] != "" && parts[5] != "":
		return ServiceID{TrustDomain: u.Host, Namespace: parts[1], Datacenter: parts[3], Service: parts[5]}, nil
	case len(parts) > 1 && (parts[0] == "agent" || parts[0] == "gateway" || parts[0] == "ap"), u.Path == "" || u.Path == "/":
		return ServiceID{}, NotService{u.String()}
	}
	return ServiceID{}, fmt.Errorf("SPIFFE ID is not in the expected format: %s", u)
}

// NotService is the error of a SPIFFE ID that is good and not a service's.
type NotService struct{ ID string }

// Error implements error.
func (e NotService) Error() string { return "SPIFFE ID is not that of a service: " + e.ID }

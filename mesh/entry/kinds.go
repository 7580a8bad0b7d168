package entry

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/rpc"
)

// BoundAPIGateway is a kind that Consul's servers make of others: nobody writes it.
const BoundAPIGateway = "bound-api-gateway"

// kind is what is particular to the entries of one kind.
type kind struct {
	make func() api.ConfigEntry
	// only is the one name that an entry may have, "" if any will do.
	only string
	// read and write are what access rules must allow; read is "" if everyone may.
	// Rules about services and intentions go by the entry's name.
	read, write rpc.Resource
	// boxed says that an entry within a message hides in a string of its own.
	boxed bool
}

// kinds are those that are kept.
var kinds = map[string]kind{
	api.ServiceDefaults:       service(func() api.ConfigEntry { return new(api.ServiceConfigEntry) }),
	api.ServiceRouter:         service(func() api.ConfigEntry { return new(api.ServiceRouterConfigEntry) }),
	api.ServiceSplitter:       service(func() api.ConfigEntry { return new(api.ServiceSplitterConfigEntry) }),
	api.ServiceResolver:       service(func() api.ConfigEntry { return new(api.ServiceResolverConfigEntry) }),
	api.IngressGateway:        gateway(func() api.ConfigEntry { return new(api.IngressGatewayConfigEntry) }),
	api.TerminatingGateway:    gateway(func() api.ConfigEntry { return new(api.TerminatingGatewayConfigEntry) }),
	api.APIGateway:            common(func() api.ConfigEntry { return new(api.APIGatewayConfigEntry) }),
	api.HTTPRoute:             common(func() api.ConfigEntry { return new(api.HTTPRouteConfigEntry) }),
	api.TCPRoute:              common(func() api.ConfigEntry { return new(api.TCPRouteConfigEntry) }),
	api.InlineCertificate:     common(func() api.ConfigEntry { return new(api.InlineCertificateConfigEntry) }),
	api.FileSystemCertificate: common(func() api.ConfigEntry { return new(api.FileSystemCertificateConfigEntry) }),
	api.JWTProvider:           common(func() api.ConfigEntry { return new(api.JWTProviderConfigEntry) }),
	api.RateLimitIPConfig: {make: func() api.ConfigEntry { return new(api.RateLimitIPConfigEntry) },
		read: rpc.ResourceOperator, write: rpc.ResourceOperator},
	api.ServiceIntentions: {make: func() api.ConfigEntry { return new(api.ServiceIntentionsConfigEntry) },
		read: rpc.ResourceIntention, write: rpc.ResourceIntention},
	api.ProxyDefaults: {make: func() api.ConfigEntry { return new(api.ProxyConfigEntry) },
		only: api.ProxyConfigGlobal, write: rpc.ResourceMesh, boxed: true},
	api.MeshConfig: {make: func() api.ConfigEntry { return new(api.MeshConfigEntry) },
		only: api.MeshConfigMesh, write: rpc.ResourceMesh},
	api.ExportedServices: {make: func() api.ConfigEntry { return new(api.ExportedServicesConfigEntry) },
		only: "default", read: rpc.ResourceMesh, write: rpc.ResourceMesh},
}

func service(make func() api.ConfigEntry) kind {
	return kind{make: make, read: rpc.ResourceService, write: rpc.ResourceService}
}

func gateway(make func() api.ConfigEntry) kind {
	return kind{make: make, read: rpc.ResourceService, write: rpc.ResourceMesh}
}

func common(make func() api.ConfigEntry) kind {
	return kind{make: make, read: rpc.ResourceMesh, write: rpc.ResourceMesh}
}

// Kinds are the names of all kinds that are kept, in order.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// kindOf finds a kind that may be written.
func kindOf(name string) (kind, error) {
	k, known := kinds[name]
	switch {
	case known:
		return k, nil
	case name == api.SamenessGroup:
		return k, rpc.Invalid("config entries of the kind sameness-group belong to Consul Enterprise: use the failover of a service-resolver or of a prepared query")
	case name == BoundAPIGateway:
		return k, rpc.Invalid("config entries of the kind bound-api-gateway cannot be written: write the api-gateway and its routes")
	}
	return k, rpc.Invalid("invalid config entry kind: " + name)
}

// CheckKind refuses names of kinds that do not exist. Those that cannot be written do,
// without entries.
func CheckKind(name string) error {
	if name == BoundAPIGateway || name == api.SamenessGroup {
		return nil
	}
	_, err := kindOf(name)
	return err
}

// named is the name that an entry of this kind has, if it is to have the given one.
func (k kind) named(name string) (string, error) {
	switch {
	case k.only != "" && name == "":
		return k.only, nil
	case k.only != "" && name != k.only:
		return "", rpc.Invalid(fmt.Sprintf("invalid name (%q), only %q is supported", name, k.only))
	case name == "":
		return "", rpc.Invalid("Name is required")
	}
	return name, nil
}

// subject is the name that access rules know a thing by.
func subject(r rpc.Resource, name string) string {
	if r == rpc.ResourceService || r == rpc.ResourceIntention {
		return name
	}
	return ""
}

func mayRead(call *rpc.Call, kindName, name string) error {
	if r := kinds[kindName].read; r != "" {
		return call.Allow(r, rpc.AccessRead, subject(r, name))
	}
	return nil
}

func mayWrite(call *rpc.Call, kindName, name string) error {
	r := kinds[kindName].write
	return call.Allow(r, rpc.AccessWrite, subject(r, name))
}

func keep(call *rpc.Call, e *Entry) bool {
	r := kinds[e.Kind].read
	return r == "" || call.Keep(r, subject(r, e.Name))
}

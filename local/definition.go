package local

import (
	"fmt"

	"github.com/hanse-project/hanse/catalog"
)

// Service is the definition of a service. Both spellings of its keys are understood,
// tagged_addresses and TaggedAddresses. See
// https://developer.hashicorp.com/consul/docs/services/configuration/services-configuration-reference.
type Service struct {
	// ID is unique on the agent, and the name unless given.
	ID                string
	Name              string
	Kind              string `json:",omitempty"`
	Tags              catalog.Tags
	Port              int
	SocketPath        string                            `json:",omitempty"`
	Address           string                            `json:",omitempty"`
	TaggedAddresses   map[string]catalog.ServiceAddress `json:",omitempty"`
	Meta              map[string]string                 `json:",omitempty"`
	Weights           *catalog.Weights                  `json:",omitempty"`
	EnableTagOverride bool                              `json:",omitempty"`
	// Token is what the service is registered in the catalog with.
	Token     string            `json:",omitempty"`
	Proxy     *catalog.Proxy    `json:",omitempty"`
	Connect   *Connect          `json:",omitempty"`
	Locality  *catalog.Locality `json:",omitempty"`
	Namespace string            `json:",omitempty"`
	Partition string            `json:",omitempty"`
	// Check stands beside Checks, for one.
	Check  []*Check `json:",omitempty"`
	Checks []*Check `json:",omitempty"`

	// sidecarOf is the ID of the service that this one came with, and goes with.
	sidecarOf string
}

// Check is the definition of a check. See
// https://developer.hashicorp.com/consul/docs/services/configuration/checks-configuration-reference.
type Check struct {
	// ID is unique on the agent. CheckID is another name of it.
	ID        string `json:",omitempty"`
	CheckID   string `json:",omitempty"`
	Name      string `json:",omitempty"`
	Notes     string `json:",omitempty"`
	ServiceID string `json:",omitempty"`
	// Status is the first one, critical unless given.
	Status    string `json:",omitempty"`
	Token     string `json:",omitempty"`
	Namespace string `json:",omitempty"`
	Partition string `json:",omitempty"`

	// Args is the command of a script. ScriptArgs is another name of it.
	Args              []string            `json:",omitempty"`
	ScriptArgs        []string            `json:",omitempty"`
	DockerContainerID string              `json:",omitempty"`
	Shell             string              `json:",omitempty"`
	HTTP              string              `json:",omitempty"`
	Header            map[string][]string `json:",omitempty"`
	Method            string              `json:",omitempty"`
	Body              string              `json:",omitempty"`
	DisableRedirects  bool                `json:",omitempty"`
	TCP               string              `json:",omitempty"`
	TCPUseTLS         bool                `json:",omitempty"`
	UDP               string              `json:",omitempty"`
	GRPC              string              `json:",omitempty"`
	GRPCUseTLS        bool                `json:",omitempty"`
	H2Ping            string              `json:",omitempty"`
	H2PingUseTLS      *bool               `json:",omitempty"` // nil means true
	TLSServerName     string              `json:",omitempty"`
	TLSSkipVerify     bool                `json:",omitempty"`
	OSService         string              `json:",omitempty"`
	AliasNode         string              `json:",omitempty"`
	AliasService      string              `json:",omitempty"`
	TTL               catalog.Duration    `json:",omitempty"`

	Interval                       catalog.Duration `json:",omitempty"`
	Timeout                        catalog.Duration `json:",omitempty"`
	SuccessBeforePassing           int              `json:",omitempty"`
	FailuresBeforeWarning          int              `json:",omitempty"`
	FailuresBeforeCritical         int              `json:",omitempty"`
	DeregisterCriticalServiceAfter catalog.Duration `json:",omitempty"` // 0 means never
	OutputMaxSize                  int              `json:",omitempty"` // bytes
}

// complete fills in what may be left out: the ID, and those and the names of the checks,
// which are gathered in Checks.
func (d *Service) complete() {
	if d.ID == "" {
		d.ID = d.Name
	}
	checks := append(d.Check, d.Checks...)
	d.Check, d.Checks = nil, nil
	for _, c := range checks {
		if c != nil {
			d.Checks = append(d.Checks, c)
		}
	}
	for i, c := range d.Checks {
		c.complete()
		c.ServiceID = d.ID
		if c.ID == "" {
			c.ID = "service:" + d.ID
			if len(d.Checks) > 1 {
				c.ID = fmt.Sprintf("service:%s:%d", d.ID, i+1)
			}
		}
		if c.Name == "" {
			c.Name = fmt.Sprintf("Service '%s' check", d.Name)
		}
		if c.Token == "" {
			c.Token = d.Token
		}
	}
}

// complete settles on one of two names.
func (c *Check) complete() {
	if c.ID == "" {
		c.ID = c.CheckID
	}
	c.CheckID = ""
	if len(c.Args) == 0 {
		c.Args = c.ScriptArgs
	}
	c.ScriptArgs = nil
}

// row is the service as the catalog has it.
func (d *Service) row() *catalog.NodeService {
	row := &catalog.NodeService{
		Kind: d.Kind, ID: d.ID, Service: d.Name, Tags: d.Tags, Address: d.Address, TaggedAddresses: d.TaggedAddresses,
		Meta: d.Meta, Port: d.Port, SocketPath: d.SocketPath, Weights: d.Weights, EnableTagOverride: d.EnableTagOverride,
		Locality: d.Locality, LocallyRegisteredAsSidecar: d.sidecarOf != "",
	}
	if row.Tags == nil {
		row.Tags = catalog.Tags{}
	}
	if row.Meta == nil {
		row.Meta = map[string]string{}
	}
	if row.Weights == nil {
		row.Weights = &catalog.Weights{Passing: 1, Warning: 1}
	}
	if d.Proxy != nil {
		row.Proxy = *d.Proxy
	}
	if d.Connect != nil {
		row.Connect = catalog.Connect{Native: d.Connect.Native, PeerMeta: d.Connect.PeerMeta}
	}
	return row
}

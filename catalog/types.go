package catalog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// The log keeps these types as arrays without names: a field is only ever added at the
// end of its type, and none is removed.

// Revision is when a row was made and last changed, as log indexes.
type Revision struct {
	CreateIndex uint64
	ModifyIndex uint64
}

// Node is one machine. See https://developer.hashicorp.com/consul/api-docs/catalog.
type Node struct {
	// ID is a UUID, "" for a node that was registered without one.
	ID              string
	Node            string
	Address         string
	Datacenter      string
	Partition       string `json:",omitempty" bexpr:"-"`
	PeerName        string `json:",omitempty"`
	TaggedAddresses map[string]string
	Meta            map[string]string
	Locality        *Locality `json:",omitempty" bexpr:"-"`
	Revision        `bexpr:"-"`
}

// Locality is where a node or an instance runs.
type Locality struct {
	Region string
	Zone   string
}

// NodeService is one instance of a service, as its node knows it.
type NodeService struct {
	Kind string `json:",omitempty"`
	// ID is unique on the node.
	ID                string
	Service           string
	Tags              Tags
	Address           string
	TaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	Meta              map[string]string
	Port              int
	SocketPath        string `json:",omitempty"`
	Weights           *Weights
	EnableTagOverride bool
	Proxy             Proxy
	Connect           Connect
	// LocallyRegisteredAsSidecar travels between servers and is shown to nobody.
	LocallyRegisteredAsSidecar bool      `json:"-" bexpr:"-"`
	Locality                   *Locality `json:",omitempty" bexpr:"-"`
	PeerName                   string
	Revision                   `bexpr:"-"`
}

// ServiceAddress is where an instance listens, for one kind of caller.
type ServiceAddress struct {
	Address string
	Port    int
}

// Weights are the instance's shares of DNS answers, by its health.
type Weights struct {
	Passing int
	Warning int
}

// ServiceNode is an instance together with its node, flat.
type ServiceNode struct {
	ID                       string
	Node                     string
	Address                  string
	Datacenter               string
	TaggedAddresses          map[string]string
	NodeMeta                 map[string]string
	ServiceKind              string
	ServiceID                string
	ServiceName              string
	ServiceTags              Tags
	ServiceAddress           string
	ServiceTaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	ServiceWeights           Weights
	ServiceMeta              map[string]string
	ServicePort              int
	ServiceSocketPath        string
	ServiceEnableTagOverride bool
	ServiceProxy             Proxy
	ServiceConnect           Connect
	ServiceLocality          *Locality `bexpr:"-"`
	PeerName                 string    `json:",omitempty"`
	Revision                 `bexpr:"-"`

	encoded *encoded
}

// The states of a check.
const (
	Passing  = "passing"
	Warning  = "warning"
	Critical = "critical"
	// AnyState stands for all three in a question.
	AnyState = "any"
)

// HealthCheck is one check of a node or of an instance, with its last result.
type HealthCheck struct {
	Node string
	// CheckID is unique on the node.
	CheckID string
	Name    string
	// Status is [Passing], [Warning] or [Critical].
	Status string
	Notes  string
	Output string
	// ServiceID is "" for a check of the whole node.
	ServiceID   string
	ServiceName string
	ServiceTags Tags
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  HealthCheckDefinition `bexpr:"-"`
	PeerName    string                `json:",omitempty"`
	Revision    `bexpr:"-"`
}

// HealthCheckDefinition says how a check is run. The catalog keeps it for those who do.
type HealthCheckDefinition struct {
	Interval                       Duration            `json:",omitempty"`
	Timeout                        Duration            `json:",omitempty"`
	DeregisterCriticalServiceAfter Duration            `json:",omitempty"`
	HTTP                           string              `json:",omitempty"`
	Header                         map[string][]string `json:",omitempty"`
	Method                         string              `json:",omitempty"`
	Body                           string              `json:",omitempty"`
	DisableRedirects               bool                `json:",omitempty"`
	TLSServerName                  string              `json:",omitempty"`
	TLSSkipVerify                  bool                `json:",omitempty"`
	TCP                            string              `json:",omitempty"`
	TCPUseTLS                      bool                `json:",omitempty"`
	UDP                            string              `json:",omitempty"`
	H2PING                         string              `json:",omitempty"`
	H2PingUseTLS                   bool                `json:",omitempty"`
	GRPC                           string              `json:",omitempty"`
	GRPCUseTLS                     bool                `json:",omitempty"`
	OSService                      string              `json:",omitempty"`
	ScriptArgs                     []string            `json:",omitempty"`
	DockerContainerID              string              `json:",omitempty"`
	Shell                          string              `json:",omitempty"`
	OutputMaxSize                  uint                `json:",omitempty"`
	AliasNode                      string              `json:",omitempty"`
	AliasService                   string              `json:",omitempty"`
	TTL                            Duration            `json:",omitempty"`
	SessionName                    string              `json:",omitempty"`
}

// CheckServiceNode is an instance with its node and with the checks that count for it.
// Checks is nil only in the answer of a server that is not Hanse.
type CheckServiceNode struct {
	Node    *Node
	Service *NodeService
	Checks  []*HealthCheck

	encoded *encoded
}

// NodeServices is a node with its services by ID.
type NodeServices struct {
	Node     *Node
	Services map[string]*NodeService
}

// NodeServiceList is a node with its services in order of their ID. Node is nil if
// there is no such node.
type NodeServiceList struct {
	Node     *Node
	Services []*NodeService
}

// NodeInfo is all there is to know of a node.
type NodeInfo struct {
	ID              string
	Node            string
	Partition       string `json:",omitempty" bexpr:"-"`
	PeerName        string `json:",omitempty"`
	Address         string
	TaggedAddresses map[string]string
	Meta            map[string]string
	Services        []*NodeService
	Checks          []*HealthCheck
}

// Tags are the tags of a service. None of them is [] in JSON, never null.
type Tags []string

// MarshalJSON implements json.Marshaler.
func (t Tags) MarshalJSON() ([]byte, error) {
	if len(t) == 0 {
		return []byte("[]"), nil
	}
	return json.Marshal([]string(t))
}

// Duration is a text such as "10s" in JSON, and nanoseconds on the wire.
type Duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, time.Duration(d).String()), nil
}

// UnmarshalJSON implements json.Unmarshaler. It takes a text, or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(raw []byte) error {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return err
	}
	switch v := value.(type) {
	case nil:
		return nil
	case float64:
		*d = Duration(v)
		return nil
	case string:
		if v == "" {
			*d = 0
			return nil
		}
		parsed, err := time.ParseDuration(v)
		if err != nil {
			return err
		}
		*d = Duration(parsed)
		return nil
	}
	return fmt.Errorf("a duration is a text such as \"10s\", not %s", raw)
}

package catalog

// Kinds of services that the mesh knows. Everything else is "".
const (
	KindConnectProxy = "connect-proxy"
)

// Proxy is how an instance of kind connect-proxy, or a gateway, works for others.
type Proxy struct {
	DestinationServiceName string           `json:",omitempty"`
	DestinationServiceID   string           `json:",omitempty"`
	LocalServiceAddress    string           `json:",omitempty"`
	LocalServicePort       int              `json:",omitempty"`
	LocalServiceSocketPath string           `json:",omitempty"`
	Mode                   string           // "", direct or transparent
	Config                 map[string]any   `json:",omitempty" bexpr:"-"`
	Upstreams              []Upstream       `json:",omitempty"`
	MeshGateway            MeshGateway      // how upstreams in other datacenters are reached
	Expose                 Expose           // what is reachable without the mesh
	TransparentProxy       TransparentProxy `json:",omitzero"`
	MutualTLSMode          string           `json:",omitempty"`
	AccessLogs             AccessLogs       `json:",omitzero" bexpr:"-"`
	EnvoyExtensions        []EnvoyExtension `json:",omitempty" bexpr:"-"`
}

// Upstream is a service that a proxy reaches for its own.
type Upstream struct {
	DestinationType      string
	DestinationNamespace string `json:",omitempty"`
	DestinationPartition string `json:",omitempty"`
	DestinationPeer      string `json:",omitempty"`
	DestinationName      string
	Datacenter           string
	LocalBindAddress     string         `json:",omitempty"`
	LocalBindPort        int            `json:",omitempty"`
	LocalBindSocketPath  string         `json:",omitempty"`
	LocalBindSocketMode  string         `json:",omitempty"`
	Config               map[string]any `json:",omitempty" bexpr:"-"`
	MeshGateway          MeshGateway
	IngressHosts         []string `json:"-" bexpr:"-"`
	CentrallyConfigured  bool     `json:",omitempty" bexpr:"-"`
}

// MeshGateway is how traffic goes through mesh gateways.
type MeshGateway struct {
	Mode string `json:",omitempty"`
}

// Expose lists paths that are reachable without the mesh.
type Expose struct {
	Checks bool         `json:",omitempty"`
	Paths  []ExposePath `json:",omitempty"`
}

// ExposePath is one of them.
type ExposePath struct {
	ListenerPort    int    `json:",omitempty"`
	Path            string `json:",omitempty"`
	LocalPathPort   int    `json:",omitempty"`
	Protocol        string `json:",omitempty"`
	ParsedFromCheck bool   `json:",omitempty"`
}

// TransparentProxy is the configuration of a proxy in transparent mode.
type TransparentProxy struct {
	OutboundListenerPort int  `json:",omitempty"`
	DialedDirectly       bool `json:",omitempty"`
}

// AccessLogs is what a proxy logs.
type AccessLogs struct {
	Enabled             bool   `json:",omitempty"`
	DisableListenerLogs bool   `json:",omitempty"`
	Type                string `json:",omitempty"`
	Path                string `json:",omitempty"`
	JSONFormat          string `json:",omitempty"`
	TextFormat          string `json:",omitempty"`
}

// EnvoyExtension is an extension of a proxy.
type EnvoyExtension struct {
	Name          string
	Required      bool
	Arguments     map[string]any `bexpr:"-"`
	ConsulVersion string
	EnvoyVersion  string
}

// Connect is the part of an instance's definition that concerns the mesh.
type Connect struct {
	// Native is true for an instance that accepts mesh connections itself.
	Native bool `json:",omitempty"`
	// SidecarService is the agent's definition of a sidecar, which agents do not send.
	SidecarService any       `json:",omitempty" bexpr:"-"`
	PeerMeta       *PeerMeta `json:",omitempty" bexpr:"-"`
}

// PeerMeta is how a service of a peer is recognised.
type PeerMeta struct {
	SNI      []string `json:",omitempty"`
	SpiffeID []string `json:",omitempty"`
	Protocol string   `json:",omitempty"`
}

// GatewayService says that a gateway serves a service. What ties them together are config
// entries of gateways, whose meaning is not known here yet, so no gateway serves any.
type GatewayService struct {
	Gateway     ServiceName
	Service     ServiceName
	GatewayKind string
}

// ServiceName names a service where names of other kinds could stand too.
type ServiceName struct{ Name string }

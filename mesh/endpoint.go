package mesh

import (
	"context"
	"fmt"
	"strings"

	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The methods of this package.
var (
	// ListRoots is open to everyone: who is to be trusted is no secret.
	ListRoots = rpc.Method[RootsRequest, Roots]{Info: rpc.Info{Name: "ConnectCA.Roots", Blocking: true}}
	GetConfig = rpc.Method[ConfigRequest, Config]{Info: rpc.Info{
		Name: "ConnectCA.ConfigurationGet", Resource: rpc.ResourceOperator}}
	SetConfig = rpc.Method[ConfigSetRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "ConnectCA.ConfigurationSet", Write: true, Resource: rpc.ResourceOperator}}
	// Sign is for those who may register the service.
	Sign = rpc.Method[SignRequest, Issued]{Info: rpc.Info{
		Name: "ConnectCA.Sign", Write: true, Resource: rpc.ResourceService}}
)

// errOff is the error of a datacenter whose servers have no mesh. Clients match it.
var errOff = rpc.Failed("Connect must be enabled in order to use this endpoint")

// Endpoint answers the methods on a server.
type Endpoint struct {
	store      *store.Store
	log        store.Log
	datacenter string
	on         bool
	limits     limits
}

// NewEndpoint makes the endpoint of a server. on says whether there is a mesh.
func NewEndpoint(s *store.Store, log store.Log, datacenter string, on bool) *Endpoint {
	return &Endpoint{store: s, log: log, datacenter: datacenter, on: on}
}

// Methods binds the package's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		ListRoots.Handle(e.roots), GetConfig.Handle(e.config), SetConfig.Handle(e.setConfig), Sign.Handle(e.sign),
	}
}

func (e *Endpoint) roots(_ context.Context, call *rpc.Call, _ *RootsRequest) (*Roots, error) {
	if !e.on {
		return nil, errOff
	}
	v := e.store.Read(call.Watch)
	rep := &Roots{Roots: []*Root{}}
	if config, known := configOf(v); known {
		rep.TrustDomain = cert.TrustDomain(config.ClusterID)
	}
	for r := range roots(v) {
		rep.Roots = append(rep.Roots, r)
		if r.Active {
			rep.ActiveRootID = r.ID
		}
	}
	rep.Index = v.TouchedAt(tableRoots)
	return rep, nil
}

func (e *Endpoint) config(_ context.Context, call *rpc.Call, _ *ConfigRequest) (*Config, error) {
	if !e.on {
		return nil, errOff
	}
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	config, known := configOf(e.store.Read(nil))
	if !known {
		return nil, rpc.Failed(errNoSigner.Error())
	}
	return config, nil
}

// setConfig changes the root too, if the settings ask for another one.
func (e *Endpoint) setConfig(ctx context.Context, call *rpc.Call, req *ConfigSetRequest) (*rpc.Nothing, error) {
	if !e.on {
		return nil, errOff
	}
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessWrite, ""); err != nil {
		return nil, err
	}
	given := req.Config
	if given == nil {
		return nil, rpc.Invalid("there is no configuration in the request")
	}
	if len(given.State) > 0 {
		return nil, rpc.Invalid("State is read-only: leave it out")
	}
	if given.Provider == "" {
		return nil, rpc.Invalid(fmt.Sprintf("Provider is missing: it must be %q", Provider))
	}
	if err := CheckConfig(given.Provider, given.Config); err != nil {
		return nil, err
	}
	s, kept, err := parse(given.Config)
	if err != nil {
		return nil, err
	}
	v := e.store.Read(nil)
	before, known := configOf(v)
	active, found := activeRoot(v)
	if !known || !found {
		return nil, rpc.Failed(errNoSigner.Error())
	}
	if s.clusterID != "" && s.clusterID != before.ClusterID {
		return nil, rpc.Invalid(fmt.Sprintf("ClusterID is %s: the trust domain of %s cannot be changed", s.clusterID, before.ClusterID))
	}
	cmd := &change{Op: set, Expect: active.ID, Config: &Config{
		Provider: Provider, Config: kept, ForceWithoutCrossSigning: given.ForceWithoutCrossSigning,
	}}
	other, err := s.otherRoot(active, before.Config)
	if err != nil {
		return nil, rpc.Invalid(err.Error())
	}
	if other {
		cmd.Root, cmd.Authority, err = rotate(ctx, e.log, v, s, before.ClusterID, given.ForceWithoutCrossSigning)
		if err != nil {
			return nil, rpc.Prefix("could not initialize provider: ", err)
		}
	}
	done, _, err := store.Propose[bool](ctx, e.log, opChange, cmd)
	if err == nil && !done {
		err = rpc.Failed("another change of the CA came first: look at it, and try again")
	}
	return &rpc.Nothing{}, err
}

func (e *Endpoint) sign(ctx context.Context, call *rpc.Call, req *SignRequest) (*Issued, error) {
	if !e.on {
		return nil, errOff
	}
	csr, id, err := cert.ParseRequest(req.CSR)
	if err != nil {
		return nil, rpc.Invalid("the certificate request cannot be signed: " + err.Error())
	}
	if err := call.Allow(rpc.ResourceService, rpc.AccessWrite, id.Service); err != nil {
		return nil, err
	}
	config, known := configOf(e.store.Read(nil))
	if !known {
		return nil, rpc.Failed(errNoSigner.Error())
	}
	if trust := cert.TrustDomain(config.ClusterID); !strings.EqualFold(id.TrustDomain, trust) {
		return nil, rpc.Invalid(fmt.Sprintf("SPIFFE ID in CSR from a different trust domain: %s, we are %s", id.TrustDomain, trust))
	}
	if id.Datacenter != e.datacenter {
		return nil, rpc.Invalid(fmt.Sprintf("SPIFFE ID in CSR from a different datacenter: %s, we are %s", id.Datacenter, e.datacenter))
	}
	s, _, err := parse(config.Config)
	if err != nil {
		return nil, err
	}
	done, err := e.limits.enter(ctx, s)
	if err != nil {
		return nil, err
	}
	defer done()
	serial, err := takeSerial(ctx, e.log)
	if err != nil {
		return nil, err
	}
	root, key, err := signer(e.store.Read(nil)) // as new as the serial number
	if err != nil {
		return nil, rpc.Failed(err.Error())
	}
	leaf, err := key.SignLeaf(csr, id, serial, s.leafTTL)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %q: %w", id.Service, err)
	}
	chain := cert.Encode(leaf)
	for _, text := range root.IntermediateCerts {
		chain += strings.TrimSpace(text) + "\n"
	}
	return &Issued{
		SerialNumber: cert.Serial(leaf), CertPEM: chain, Service: id.Service, ServiceURI: id.URI().String(),
		ValidAfter: leaf.NotBefore, ValidBefore: leaf.NotAfter, CreateIndex: serial, ModifyIndex: serial,
	}, nil
}

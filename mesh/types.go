package mesh

import (
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// The log keeps these types as arrays without names: a field is only ever added at the
// end of its type, and none is removed.

// Root is a root certificate that is trusted. It is also the record of a snapshot.
type Root struct {
	// ID is the certificate's fingerprint.
	ID           string
	Name         string
	SerialNumber uint64
	// SigningKeyID is the ID of the key that signs leaves.
	SigningKeyID string
	// ExternalTrustDomain is the UUID of the trust domain.
	ExternalTrustDomain string
	NotBefore, NotAfter time.Time
	// RootCert is the certificate, in PEM.
	RootCert string
	// IntermediateCerts stand between a leaf and this root, or an older one.
	IntermediateCerts []string
	// Active is the root that signs. Exactly one does, once there is one.
	Active         bool
	PrivateKeyType string
	PrivateKeyBits int
	CreateIndex    uint64
	ModifyIndex    uint64
	// RotatedOutAt is when another root took over.
	RotatedOutAt time.Time `json:"-"`
	// SigningCert and SigningKey are in the records of Consul. They are always empty here.
	SigningCert string `json:"-"`
	SigningKey  string `json:"-"`
	// HanseLeafTTL is the longest life of a leaf that this root may have signed.
	HanseLeafTTL time.Duration `json:"-"`
}

// Authority is the key that signs. It is the record of a snapshot, and no answer.
type Authority struct {
	ID         string
	PrivateKey string
	RootCert   string
	// IntermediateCert is what signs in the place of the root, "" if the root does.
	IntermediateCert string
	CreateIndex      uint64
	ModifyIndex      uint64
}

// Config is how certificates are made. It is also the record of a snapshot.
type Config struct {
	// ClusterID is the UUID of the trust domain. It never changes.
	ClusterID string `json:"-"`
	Provider  string
	// Config are the settings of the provider. A private key is not kept among them.
	Config map[string]any
	// State is what some providers remember. The one that is built in does not.
	State map[string]string
	// ForceWithoutCrossSigning lets a new root begin without the signature of the old one.
	ForceWithoutCrossSigning bool
	CreateIndex              uint64
	ModifyIndex              uint64
}

// RootsRequest asks for the roots.
type RootsRequest struct{ rpc.Read }

// Roots are the roots that are trusted.
type Roots struct {
	ActiveRootID string
	// TrustDomain is the host of the SPIFFE IDs.
	TrustDomain string
	Roots       []*Root
	rpc.Meta
}

// ConfigRequest asks for the configuration.
type ConfigRequest struct{ rpc.Read }

// ConfigSetRequest changes the configuration.
type ConfigSetRequest struct {
	rpc.Write
	Config *Config
}

// SignRequest asks for the certificate of a service.
type SignRequest struct {
	rpc.Write
	// CSR is a certificate request, in PEM.
	CSR string
}

// Issued is a certificate of a service.
type Issued struct {
	// SerialNumber is in hexadecimal, with colons between the bytes.
	SerialNumber string
	// CertPEM is the certificate, and behind it those between it and a root.
	CertPEM string
	// PrivateKeyPEM is the key. It is with the agent that asked, and never on the wire.
	PrivateKeyPEM string
	Service       string `json:",omitempty"`
	// ServiceURI is the SPIFFE ID in the certificate.
	ServiceURI string `json:",omitempty"`
	// The IDs of what is no service are always empty here.
	Agent       string `json:",omitempty"`
	AgentURI    string `json:",omitempty"`
	ServerURI   string `json:",omitempty"`
	Kind        string `json:",omitempty"`
	KindURI     string `json:",omitempty"`
	ValidAfter  time.Time
	ValidBefore time.Time
	CreateIndex uint64
	ModifyIndex uint64
}

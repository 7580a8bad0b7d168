package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/go-rootcerts"
)

// Options says which files to use and what to verify. Its fields are those of
// an interface in the agent's configuration, in the same order, so that one
// converts to the other.
type Options struct {
	CAFile               string
	CAPath               string // a folder; CAFile goes before it
	CertFile             string
	KeyFile              string
	MinVersion           string // TLSv1_0 to TLSv1_3; "" means TLSv1_2
	CipherSuites         []string
	VerifyIncoming       bool
	VerifyOutgoing       bool
	VerifyServerHostname bool
}

// Certificates are the current certificates of one interface. They are safe for
// concurrent use.
type Certificates struct {
	opts    Options
	version uint16
	suites  []uint16
	current atomic.Pointer[material]
}

// material is what was read from the files at one time.
type material struct {
	roots *x509.CertPool   // nil without a CA
	cert  *tls.Certificate // nil without a certificate
}

// New reads the files. Its error names the setting or the file at fault.
func New(opts Options) (*Certificates, error) {
	c := &Certificates{opts: opts}
	var err error
	if c.version, err = version(opts.MinVersion); err != nil {
		return nil, err
	}
	if c.suites, err = suites(opts.CipherSuites); err != nil {
		return nil, err
	}
	if err = c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again. After an error the certificates are as before.
func (c *Certificates) Reload() error {
	var m material
	var err error
	if c.opts.CAFile != "" || c.opts.CAPath != "" {
		m.roots, err = rootcerts.LoadCACerts(&rootcerts.Config{CAFile: c.opts.CAFile, CAPath: c.opts.CAPath})
		if err != nil {
			return fmt.Errorf("read the certificate authority (ca_file, ca_path): %w", err)
		}
	}
	if c.opts.CertFile != "" || c.opts.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(c.opts.CertFile, c.opts.KeyFile)
		if err != nil {
			return fmt.Errorf("read the certificate (cert_file %q, key_file %q): %w", c.opts.CertFile, c.opts.KeyFile, err)
		}
		m.cert = &pair
	}
	if (c.opts.VerifyIncoming || c.opts.VerifyOutgoing) && m.roots == nil {
		return errors.New("verify_incoming and verify_outgoing need a certificate authority: set ca_file or ca_path")
	}
	if c.opts.VerifyIncoming && m.cert == nil {
		return errors.New("verify_incoming needs a certificate to answer with: set cert_file and key_file")
	}
	c.current.Store(&m)
	return nil
}

// Server is the configuration for accepting connections, or nil when there is
// no certificate to answer with. protos are the protocols to negotiate, best first.
func (c *Certificates) Server(protos ...string) *tls.Config {
	if c.current.Load().cert == nil {
		return nil
	}
	// One configuration lives as long as its certificates, for it holds the
	// keys by which clients resume their sessions.
	type built struct {
		from   *material
		config *tls.Config
	}
	var last atomic.Pointer[built]
	return &tls.Config{
		MinVersion: c.version,
		NextProtos: protos,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := c.current.Load()
			if b := last.Load(); b != nil && b.from == now {
				return b.config, nil
			}
			b := &built{now, c.server(now, protos)}
			last.Store(b)
			return b.config, nil
		},
	}
}

func (c *Certificates) server(m *material, protos []string) *tls.Config {
	config := c.base(m)
	config.NextProtos = protos
	if c.opts.VerifyIncoming {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, m.roots
	}
	return config
}

// Client is the configuration for dialling a server of datacenter dc, or nil
// when connections are made without TLS. It is for one dial: ask again for the
// next, so that new certificates are used.
func (c *Certificates) Client(dc, domain string) *tls.Config {
	if !c.opts.VerifyOutgoing {
		return nil
	}
	m := c.current.Load()
	config := c.base(m)
	config.RootCAs = m.roots
	config.ServerName = "server." + dc + "." + domain
	if !c.opts.VerifyServerHostname {
		// Go cannot skip the name alone, so the chain is verified here.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			return verifyChain(state.PeerCertificates, m.roots)
		}
	}
	return config
}

// Outgoing is the configuration for dialling somebody else's server with our certificate,
// where our authorities are the ones to trust, or those of the machine without any. Like
// [Certificates.Client] it is for one dial.
func (c *Certificates) Outgoing() *tls.Config {
	m := c.current.Load()
	config := c.base(m)
	config.RootCAs = m.roots
	return config
}

func (c *Certificates) base(m *material) *tls.Config {
	config := &tls.Config{MinVersion: c.version, CipherSuites: c.suites}
	if m.cert != nil {
		config.Certificates = []tls.Certificate{*m.cert}
	}
	return config
}

// verifyChain checks who signed a server's certificate, and not its name.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("the server showed no certificate")
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}

func version(name string) (uint16, error) {
	switch name {
	case "TLSv1_0":
		return tls.VersionTLS10, nil
	case "TLSv1_1":
		return tls.VersionTLS11, nil
	case "TLSv1_2", "":
		return tls.VersionTLS12, nil
	case "TLSv1_3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("tls_min_version %q: use TLSv1_2 or TLSv1_3", name)
}

// suites are the numbers of cipher suites, nil for Go's own choice.
func suites(names []string) ([]uint16, error) {
	known := map[string]uint16{}
	for _, s := range append(tls.InsecureCipherSuites(), tls.CipherSuites()...) {
		known[s.Name] = s.ID
	}
	var out []uint16
	for _, name := range names {
		id, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("tls_cipher_suites: %q is not known: use names such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, or leave it out", name)
		}
		out = append(out, id)
	}
	return out, nil
}

package cert

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// leeway is how far behind the clock of who looks at a certificate may be.
const leeway = time.Minute

// Authority is a certificate that signs others, with its key.
type Authority struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// ParseAuthority reads an authority, and checks that key and certificate belong together
// and that the certificate may sign others.
func ParseAuthority(certPEM, keyPEM string) (*Authority, error) {
	c, err := Parse(certPEM)
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	public, comparable := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !comparable || !public.Equal(key.Public()):
		return nil, errors.New("the private key is not that of the certificate")
	case !c.IsCA:
		return nil, errors.New("the certificate is not a CA certificate")
	}
	return &Authority{Cert: c, Key: key}, nil
}

// NewRoot makes a certificate that is signed by its own key. Its name says of which mesh
// it is.
func NewRoot(key crypto.Signer, meshID string, serial uint64, ttl time.Duration) (*Authority, error) {
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetUint64(serial),
		Subject:      pkix.Name{CommonName: fmt.Sprintf("pri-%x.consul.ca.%.8s.consul", id[:4], meshID)},
		URIs:         []*url.URL{{Scheme: "spiffe", Host: TrustDomain(meshID)}},
		NotBefore:    now.Add(-leeway), NotAfter: now.Add(ttl),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:     x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		SubjectKeyId: id, AuthorityKeyId: id,
	}
	c, err := create(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Authority{Cert: c, Key: key}, nil
}

// CrossSign signs another root, so that who knows only a trusts what the other signs.
func (a *Authority) CrossSign(other *x509.Certificate, serial uint64) (string, error) {
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetUint64(serial),
		Subject:      other.Subject, RawSubject: other.RawSubject, URIs: other.URIs,
		NotBefore: time.Now().Add(-leeway), NotAfter: earlier(other.NotAfter, a.Cert.NotAfter),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: other.KeyUsage,
		SubjectKeyId: other.SubjectKeyId, AuthorityKeyId: a.Cert.SubjectKeyId,
	}
	c, err := create(template, a.Cert, other.PublicKey, a.Key)
	if err != nil {
		return "", err
	}
	return Encode(c), nil
}

// SignLeaf makes the certificate that a request asks for, for at most ttl: it ends with
// the authority at the latest.
func (a *Authority) SignLeaf(csr *x509.CertificateRequest, id ServiceID, serial uint64, ttl time.Duration) (*x509.Certificate, error) {
	key, err := keyID(csr.PublicKey)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetUint64(serial), URIs: []*url.URL{id.URI()},
		NotBefore: now.Add(-leeway), NotAfter: earlier(now.Add(ttl-leeway), a.Cert.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		SubjectKeyId:          key, AuthorityKeyId: a.Cert.SubjectKeyId,
	}
	return create(template, a.Cert, csr.PublicKey, a.Key)
}

func create(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// NewRequest asks for the certificate of a service, with the key that is to be in it.
func NewRequest(key crypto.Signer, id ServiceID) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id.URI()}}, key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

// ParseRequest reads a request that is signed by its own key and asks for one service.
func ParseRequest(text string) (*x509.CertificateRequest, ServiceID, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, ServiceID{}, errors.New("no PEM-encoded certificate request found")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, ServiceID{}, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, ServiceID{}, err
	}
	if len(csr.URIs) != 1 {
		return nil, ServiceID{}, errors.New("CSR SAN must contain exactly one URI")
	}
	if _, _, err := KeyType(csr.PublicKey); err != nil {
		return nil, ServiceID{}, err
	}
	id, err := ServiceIDOf(csr.URIs[0])
	return csr, id, err
}

// Parse reads the first certificate of a PEM text.
func Parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(strings.TrimSpace(text)))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM-encoded certificate found")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Encode is a certificate as PEM.
func Encode(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// Serial is a serial number as clients are used to it: hexadecimal, whole bytes.
func Serial(c *x509.Certificate) string { return Hex(c.SerialNumber.Bytes()) }

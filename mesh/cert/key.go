package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The types of keys.
const (
	EC  = "ec"
	RSA = "rsa"
)

// CheckKeyType refuses what [NewKey] cannot make.
func CheckKeyType(kind string, bits int) error {
	switch kind {
	case EC:
		if _, known := curves[bits]; !known {
			return fmt.Errorf("EC key length must be one of (224, 256, 384, 521) bits")
		}
	case RSA:
		if bits != 2048 && bits != 4096 {
			return fmt.Errorf("RSA key length must be one of (2048, 4096) bits")
		}
	default:
		return fmt.Errorf("private key type must be either 'ec' or 'rsa'")
	}
	return nil
}

var curves = map[int]elliptic.Curve{
	224: elliptic.P224(), 256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521(),
}

// NewKey makes a private key.
func NewKey(kind string, bits int) (crypto.Signer, error) {
	if err := CheckKeyType(kind, bits); err != nil {
		return nil, err
	}
	if kind == RSA {
		return rsa.GenerateKey(rand.Reader, bits)
	}
	return ecdsa.GenerateKey(curves[bits], rand.Reader)
}

// KeyType is the type of a key, and its length in bits.
func KeyType(key crypto.PublicKey) (kind string, bits int, err error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return EC, k.Curve.Params().BitSize, nil
	case *rsa.PublicKey:
		return RSA, k.N.BitLen(), nil
	}
	return "", 0, fmt.Errorf("a %T is neither an EC nor an RSA key", key)
}

// EncodeKey is a private key as PEM.
func EncodeKey(key crypto.Signer) (string, error) {
	block := &pem.Block{}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			return "", err
		}
		block.Type, block.Bytes = "EC PRIVATE KEY", der
	case *rsa.PrivateKey:
		block.Type, block.Bytes = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)
	default:
		return "", fmt.Errorf("a %T is neither an EC nor an RSA key", key)
	}
	return string(pem.EncodeToMemory(block)), nil
}

// ParseKey reads a private key. The error shows nothing of it.
func ParseKey(text string) (crypto.Signer, error) {
	for rest := []byte(text); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, errors.New("no private key found in the PEM text")
		}
		var key any
		var err error
		switch block.Type {
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue // EC PARAMETERS may stand before the key
		}
		if err != nil {
			return nil, errors.New("the private key cannot be read")
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, errors.New("the private key cannot sign")
		}
		if _, _, err := KeyType(signer.Public()); err != nil {
			return nil, err
		}
		return signer, nil
	}
}

// keyID is what certificates call a key by.
func keyID(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:], nil
}

// Hex is how IDs of keys and certificates are shown: bytes with colons between them.
func Hex(id []byte) string {
	parts := make([]string, len(id))
	for i, b := range id {
		parts[i] = fmt.Sprintf("%02x", b)
	}
	return strings.Join(parts, ":")
}

// Fingerprint is the ID of a certificate.
func Fingerprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw) // a name that clients know, and no protection
	return Hex(sum[:])
}

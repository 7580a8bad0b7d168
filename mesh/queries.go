package mesh

import (
	"cmp"
	"errors"
	"iter"
	"strings"

	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/store"
)

func roots(v *store.View) iter.Seq[*Root] { return store.Rows[*Root](v, tableRoots, "id") }

func authorities(v *store.View) iter.Seq[*Authority] {
	return store.Rows[*Authority](v, tableAuthorities, "id")
}

func configs(v *store.View) iter.Seq[*Config] { return store.Rows[*Config](v, tableConfig, "id") }

func configOf(v *store.View) (*Config, bool) {
	for c := range configs(v) {
		return c, true
	}
	return nil, false
}

func activeRoot(v *store.View) (*Root, bool) {
	for r := range roots(v) {
		if r.Active {
			return r, true
		}
	}
	return nil, false
}

func activeID(v *store.View) string {
	if r, found := activeRoot(v); found {
		return r.ID
	}
	return ""
}

// errNoSigner says that there is no root that could sign.
var errNoSigner = errors.New("CA is uninitialized and unable to sign certificates yet: try again later")

// signer finds the key of the active root.
func signer(v *store.View) (*Root, *cert.Authority, error) {
	root, found := activeRoot(v)
	if !found {
		return nil, nil, errNoSigner
	}
	for a := range authorities(v) {
		if strings.TrimSpace(a.RootCert) != strings.TrimSpace(root.RootCert) {
			continue
		}
		key, err := cert.ParseAuthority(cmp.Or(a.IntermediateCert, a.RootCert), a.PrivateKey)
		return root, key, err
	}
	return root, nil, errNoSigner
}

package mesh

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Keeper sees to it that there is a root, and that old ones go. It works while Run does,
// on the leader.
type Keeper struct {
	store *store.Store
	log   store.Log
	first map[string]any
	logs  hclog.Logger
}

// NewKeeper makes a keeper. The first root is made as the settings say; later they are
// those of the state.
func NewKeeper(s *store.Store, log store.Log, first map[string]any, logs hclog.Logger) *Keeper {
	return &Keeper{s, log, first, logs}
}

const (
	// lookEvery is how often the keeper looks at the clock.
	lookEvery = time.Minute
	// retryEvery is how long it waits after a failure.
	retryEvery = time.Second
)

// Run works until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		changes := make(rpc.WatchSet)
		v := k.store.Read(changes)
		pause := lookEvery
		if err := k.look(ctx, v); err != nil && ctx.Err() == nil {
			k.logs.Error("failed to keep the mesh's certificates, will retry", "error", err)
			pause = retryEvery
		}
		measure(v)
		waiting, cancel := context.WithTimeout(ctx, pause)
		changes.WatchCtx(waiting) // a change, and the end of the wait, lead to the next look
		cancel()
	}
}

// look does what is due.
func (k *Keeper) look(ctx context.Context, v *store.View) error {
	root, _, err := signer(v)
	configOf(v) // watched: a restore may take it away
	if err != nil {
		if root != nil {
			k.logs.Warn("the root cannot sign, a new one begins", "root", root.ID, "reason", err)
		}
		return k.begin(ctx, v)
	}
	var idle []string
	for r := range roots(v) {
		if r.idle(time.Now()) {
			idle = append(idle, r.ID)
		}
	}
	if len(idle) == 0 {
		return nil
	}
	_, _, err = store.Propose[bool](ctx, k.log, opChange, &change{Op: prune, Prune: idle})
	if err == nil {
		k.logs.Info("dropped roots whose certificates have all expired", "roots", idle)
	}
	return err
}

// begin makes a root when there is none that can sign.
func (k *Keeper) begin(ctx context.Context, v *store.View) error {
	config, known := configOf(v)
	if !known {
		config = &Config{Provider: Provider, Config: k.first}
	}
	s, kept, err := parse(config.Config)
	if err != nil && known {
		// What an archive from elsewhere says, nobody here can mend.
		s, kept, err = parse(nil)
	}
	if err != nil {
		return fmt.Errorf("connect.ca_config: %w", err)
	}
	id := config.ClusterID
	if id == "" {
		id = s.clusterID
	}
	if id == "" {
		if id, err = uuid.GenerateUUID(); err != nil {
			return err
		}
	}
	next := &Config{ClusterID: id, Provider: Provider, Config: kept}
	root, authority, _, err := makeRoot(ctx, k.log, s, id)
	if err != nil {
		return err
	}
	done, _, err := store.Propose[bool](ctx, k.log, opChange,
		&change{Op: set, Expect: activeID(v), Config: next, Root: root, Authority: authority})
	if err == nil && done {
		k.logs.Info("initialized the mesh's certificate authority", "root", root.ID, "trust_domain", cert.TrustDomain(id))
	}
	return err
}

// takeSerial logs an entry for the sake of its index.
func takeSerial(ctx context.Context, log store.Log) (uint64, error) {
	_, index, err := store.Propose[bool](ctx, log, opChange, &change{Op: issue})
	return index, err
}

// makeRoot makes a root as the settings say, or takes the one that they hold.
func makeRoot(ctx context.Context, log store.Log, s *settings, meshID string) (*Root, *Authority, *cert.Authority, error) {
	var key crypto.Signer
	var err error
	if s.privateKey != "" {
		key, err = cert.ParseKey(s.privateKey)
	} else {
		key, err = cert.NewKey(s.keyType, s.keyBits)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	keyPEM, err := cert.EncodeKey(key)
	if err != nil {
		return nil, nil, nil, err
	}
	var made *cert.Authority
	if s.rootCert != "" {
		made, err = givenRoot(s, keyPEM, meshID)
	} else {
		var serial uint64
		if serial, err = takeSerial(ctx, log); err == nil {
			made, err = cert.NewRoot(key, meshID, serial, s.rootTTL)
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	kind, bits, err := cert.KeyType(key.Public())
	if err != nil {
		return nil, nil, nil, err
	}
	text, keyID := cert.Encode(made.Cert), cert.Hex(made.Cert.SubjectKeyId)
	root := &Root{
		ID: cert.Fingerprint(made.Cert), Name: "Consul CA Primary Cert", SerialNumber: made.Cert.SerialNumber.Uint64(),
		SigningKeyID: keyID, ExternalTrustDomain: meshID, NotBefore: made.Cert.NotBefore, NotAfter: made.Cert.NotAfter,
		RootCert: text, Active: true, PrivateKeyType: kind, PrivateKeyBits: bits, HanseLeafTTL: s.leafTTL,
	}
	return root, &Authority{ID: root.ID, PrivateKey: keyPEM, RootCert: text}, made, nil
}

// givenRoot takes a root that somebody made, and whose key they gave with it.
func givenRoot(s *settings, keyPEM, meshID string) (*cert.Authority, error) {
	if s.privateKey == "" {
		return nil, errors.New("RootCert needs the PrivateKey that belongs to it")
	}
	made, err := cert.ParseAuthority(s.rootCert, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("RootCert: %w", err)
	}
	want := "spiffe://" + cert.TrustDomain(meshID)
	for _, u := range made.Cert.URIs {
		if strings.EqualFold(u.String(), want) {
			return made, nil
		}
	}
	return nil, fmt.Errorf("RootCert: the certificate must have the URI %s among its alternative names", want)
}

// otherRoot tells whether the settings ask for another root than the active one. before
// are the settings until now.
func (s *settings) otherRoot(active *Root, before map[string]any) (bool, error) {
	same := func(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }
	switch {
	case s.rootCert != "":
		return !same(s.rootCert, active.RootCert), nil
	case s.privateKey != "":
		now, err := cert.Parse(active.RootCert)
		if err != nil {
			return false, err
		}
		key, err := cert.ParseKey(s.privateKey)
		if err != nil {
			return false, err
		}
		public, ok := now.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return !ok || !public.Equal(key.Public()), nil
	}
	_, given := before[rootCert]
	return given || s.keyType != active.PrivateKeyType || s.keyBits != active.PrivateKeyBits, nil
}

// rotate makes the root that follows the active one.
func rotate(ctx context.Context, log store.Log, v *store.View, s *settings, meshID string, alone bool) (*Root, *Authority, error) {
	old, key, err := signer(v)
	if err != nil && !alone {
		return nil, nil, rpc.Failed("the current CA cannot cross-sign the new one, set ForceWithoutCrossSigning to go on without: " + err.Error())
	}
	root, authority, made, err := makeRoot(ctx, log, s, meshID)
	if err != nil || alone {
		return root, authority, err
	}
	if root.ID == old.ID {
		return nil, nil, errors.New("the new root is the old one")
	}
	serial, err := takeSerial(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	cross, err := key.CrossSign(made.Cert, serial)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the new root with the old one: %w", err)
	}
	root.IntermediateCerts = slices.Concat([]string{cross}, between(old))
	return root, authority, nil
}

// between are the certificates between an old root and what it signs, if something of
// Consul's stands there; the one that a still older root signed is of no use.
func between(old *Root) []string {
	if len(old.IntermediateCerts) == 0 || old.HanseLeafTTL != 0 {
		return nil
	}
	return old.IntermediateCerts
}

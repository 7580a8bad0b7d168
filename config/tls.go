package config

import (
	"cmp"
	"strings"
)

// resolveTLS lays, for each interface, its own settings over those of
// tls.defaults, and these over the older top-level keys.
func (d *draft) resolveTLS() {
	t := &d.tls
	rpc, https, grpc := t.legacy, t.legacy, t.legacy
	rpc.verifyIncoming = cmp.Or(t.verifyIncomingRPC, t.legacy.verifyIncoming)
	https.verifyIncoming = cmp.Or(t.verifyIncomingHTTPS, t.legacy.verifyIncoming)
	d.TLS.InternalRPC = t.internalRPC.over(t.defaults).over(rpc).plain()
	d.TLS.HTTPS = t.https.over(t.defaults).over(https).plain()
	d.TLS.GRPC = t.grpc.over(t.defaults).over(grpc).plain()
	// The name of a server is checked only between agents, and a check of the
	// name is a check of the certificate.
	d.TLS.HTTPS.VerifyServerHostname, d.TLS.GRPC.VerifyServerHostname = false, false
	if d.TLS.InternalRPC.VerifyServerHostname {
		d.TLS.InternalRPC.VerifyOutgoing = true
	}
}

func (k tlsKeys) over(base tlsKeys) tlsKeys {
	suites := k.cipherSuites
	if suites == nil {
		suites = base.cipherSuites
	}
	return tlsKeys{
		caFile: cmp.Or(k.caFile, base.caFile), caPath: cmp.Or(k.caPath, base.caPath),
		certFile: cmp.Or(k.certFile, base.certFile), keyFile: cmp.Or(k.keyFile, base.keyFile),
		minVersion: cmp.Or(k.minVersion, base.minVersion), cipherSuites: suites,
		verifyIncoming:       cmp.Or(k.verifyIncoming, base.verifyIncoming),
		verifyOutgoing:       cmp.Or(k.verifyOutgoing, base.verifyOutgoing),
		verifyServerHostname: cmp.Or(k.verifyServerHostname, base.verifyServerHostname),
	}
}

func (k tlsKeys) plain() TLSInterface {
	text := func(s *string) string { return *cmp.Or(s, new(string)) }
	yes := func(b *bool) bool { return *cmp.Or(b, new(bool)) }
	return TLSInterface{
		CAFile: text(k.caFile), CAPath: text(k.caPath), CertFile: text(k.certFile), KeyFile: text(k.keyFile),
		MinVersion: tlsVersion(text(k.minVersion)), CipherSuites: k.cipherSuites,
		VerifyIncoming: yes(k.verifyIncoming), VerifyOutgoing: yes(k.verifyOutgoing),
		VerifyServerHostname: yes(k.verifyServerHostname),
	}
}

// tlsVersion writes the version as today's files do; "tls12" is an older way.
func tlsVersion(written string) string {
	if n, ok := strings.CutPrefix(written, "tls1"); ok {
		return "TLSv1_" + n
	}
	return cmp.Or(written, "TLSv1_2")
}

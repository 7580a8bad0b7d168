// Package tlsconf holds the certificates of one interface of an agent (the
// server port, HTTPS) and makes the TLS configurations of both ends from them.
//
// The files are read by [New] and again by [Certificates.Reload], which takes
// all of the new ones or none. A configuration that was handed out follows: each
// handshake uses what is current at that moment.
//
// What a peer has to prove depends on three settings. VerifyIncoming: a caller
// needs a certificate of our CA. VerifyOutgoing: we dial with TLS, and the
// server needs a certificate of our CA. VerifyServerHostname: that certificate
// must also be for server.<datacenter>.<domain>, which only servers hold, so
// that a client agent's certificate cannot play the server.
package tlsconf

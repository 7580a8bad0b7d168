// Package mesh is the certificate authority of one datacenter.
//
// A root certificate and its key are kept in the state of the servers, and the key never
// leaves them: no answer and no log line holds it, though snapshots do. The leader makes
// the first root, of a trust domain that is made with it and stays.
//
// A certificate's serial number is the log index at which it was asked for, so no two are
// alike, whoever led. Signing writes nothing else.
//
// When the root changes, the old one stays in the list until the last certificate that it
// signed has expired, and signs the new one, so that those who have not heard of the new
// one trust what it signs. The old key is forgotten at once.
//
// See https://developer.hashicorp.com/consul/docs/secure-mesh/certificate/built-in.
package mesh

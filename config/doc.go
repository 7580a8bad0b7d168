// Package config turns flags, configuration files and defaults into one
// validated value, [Config], which is all the rest of an agent sees.
//
// Settings are applied in this order, a later one winning: built-in defaults
// (or those of -dev), the files and folders of -config-file and -config-dir in
// the order given (a folder's files alphabetically), -hcl fragments, flags.
// A scalar replaces what was there, a list appends to it, a map merges into it.
//
// Every key is one line of the table in keys.go; files, fragments and flags all
// go through it, so that a value means the same wherever it was written. What
// a Consul release knew and Hanse does not is in later.go: it is named in a
// warning and changes nothing. A key that nobody knows is an error with the
// nearest known key.
//
// Addresses are resolved here (go-sockaddr templates, the advertise address),
// so loading asks the machine for its interfaces and its host name, and reads
// the files; it never listens, dials or writes.
package config

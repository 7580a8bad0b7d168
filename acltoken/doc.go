// Package acltoken holds the secrets of ACL tokens that an agent sends on its own behalf, and
// on behalf of those who send none.
//
// They come from the configuration and, where the agent has ACLs, over HTTP. With
// acl.enable_token_persistence what came over HTTP is kept in the data directory, in the
// file that Consul's agents keep it in, and goes before the configuration at the next start.
package acltoken

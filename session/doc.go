// Package session is the table of sessions of one datacenter.
//
// A session stands for the life of its holder: a node, some of the checks on it, and
// perhaps a time to live that the holder renews. When the node goes, one of the checks
// goes or turns critical, the time runs out, or somebody destroys it, the session is
// gone for good, and so are the locks held by it, in the same transaction (package kv
// hears of it by [Gone]).
//
// The time to live is a lower bound. Only the leader counts it, and a new leader
// begins to count anew, so a session may live for twice its time and never for less.
//
// See https://developer.hashicorp.com/consul/docs/dynamic-app-config/sessions.
package session

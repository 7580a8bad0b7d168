// Package watch runs the watches of an agent: each asks for a view of the state, waits
// for it to change, and hands what it sees to a handler, a script or a URL.
//
// How a view is asked for, compared, and asked for again after an error is the library
// of consul/api, which other programs use too. [Parse] adds the handlers to it, and
// [Runner] runs what is configured and applies the difference when that changes.
//
// A watch does one thing at a time. While its handler runs it does not look, and what
// changes meanwhile is one change afterwards. A handler that fails is a line in the log.
//
// See https://developer.hashicorp.com/consul/docs/automate/watch.
package watch

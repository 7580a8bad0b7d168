// Package forwarder carries calls between servers.
//
// A [Listener] serves the server port: the first byte of a connection says what it
// carries, and yamux streams on it carry calls, each as two MessagePack values:
//
//	request:  {Seq, ServiceMethod} argument
//	reply:    {Error, Seq, ServiceMethod} result     Reason is added to an error
//
// A [Router] makes calls: to one server of this datacenter, or to whichever server of
// another datacenter answers, in the order that its [Picker] gives. A [Client] does
// that for an agent that is no server. Both keep their connections in a [Pool].
//
// Three promises hold everywhere:
//
//   - What may be repeated is repeated at another server if a connection fails: reads,
//     and writes that certainly never began. A write whose fate is unknown ends with
//     [rpc.ErrOutcomeUnknown].
//   - Liveness belongs to the connection, not to the call. A call may wait for minutes as
//     long as its server answers pings. A server that is silent for [silenceLimit] and
//     owes a ping loses its connection, and with it all calls on it.
//   - A sick datacenter never hurts a healthy one. Calls to each are bounded in number, and
//     once none of its servers can be reached its breaker opens: calls fail at once
//     until a probe in the background finds a server that answers.
package forwarder

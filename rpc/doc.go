// Package rpc is the language in which every part of Hanse asks another one.
//
// A [Method] is a value: its wire name, how it is routed, whether it writes, and
// the types it takes and gives. A face (HTTP, DNS) calls it through a [Caller]
// and cannot tell whether the answer came from this process, from the leader or
// from another datacenter:
//
//	reply, err := kv.Get.Call(ctx, caller, &kv.KeyRequest{Key: "config/limit"})
//
// A domain binds it to a handler, and gets a [Handler] for the server's table:
//
//	kv.Get.Handle(endpoint.get)
//
// What a handler returns is shared with the store and with other callers. It is
// read-only for everybody: filter and sort into new slices.
package rpc

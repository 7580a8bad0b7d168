// Package cache keeps answers of the servers at an agent, for callers that say that
// they may get an answer from there.
//
// A face calls a method through [Get] in the place of [rpc.Method.Call], with
// UseCache set in the request's [rpc.QueryOptions]:
//
//	req := &catalog.ServiceSpecificRequest{ServiceName: "web"}
//	req.Datacenter, req.Token, req.UseCache = dc, token, true
//	reply, from, err := cache.Get(ctx, c, &catalog.HealthServiceNodes, req)
//
// Without UseCache, or with RequireConsistent, Get is a plain call. The reply is shared
// with everybody else who asks the same, and read-only; so is what req refers to, its
// maps and slices, because the cache goes on asking with it.
//
// There are two kinds of methods, told by [rpc.Info.Blocking]:
//
//   - One that can block is refreshed in the background: a single blocking query, however
//     many callers there are, waits at the servers for the next change. What is kept is as
//     new as the network allows, and MaxAge, MustRevalidate and StaleIfError mean nothing.
//     MinQueryIndex waits for a change of what is kept. When the servers cannot be
//     reached the last answer stays, and its age says for how long they could not.
//   - Any other is simply kept, and fetched again for a caller to whom it is older than
//     MaxAge, or who says MustRevalidate. If that fails, the old answer is given to those
//     whose StaleIfError allows it.
//
// The token of a caller is part of the question, so nobody is answered with what another
// one may see; when the servers refuse a token, what it was told before is dropped.
//
// A caller that goes away leaves the fetch to the others. All fetches end with
// [Cache.Run]. A refresh ends when nobody has asked for an hour, and an answer is dropped
// after three days, or earlier if there are too many: the one least recently asked for first.
package cache

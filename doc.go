// Package reprise caches HTTP responses and function results.
//
// A handler is wrapped in one line, and its answers are cached:
//
//	cache := reprise.Must(reprise.New(reprise.Config{}))
//	defer cache.Close()
//	mux.Handle("GET /products/{id}", cache.WrapFunc(showProduct, reprise.TTL(time.Minute)))
//
// The cache lives in 64 MiB of memory unless Config.Store names another place.
//
// # What is safe by default
//
// A request with Authorization, Cookie or a TLS client certificate neither fills the cache nor is answered from it, unless
// the response says public or s-maxage, or the route says [Public], [Cookies] or [PerUser]. The field Cache-Status and one
// line in the log say so. A response with Set-Cookie, private, no-store or Vary: * is never stored. What the response
// says about its own lifetime wins over [TTL].
//
// # One fill per key
//
// Of all requests for something that is not stored, one runs the handler and the others follow it: they get the body as
// it is written. Who may not share the answer runs the handler for himself, at once.
//
// # Failure
//
// A store that fails is a miss, an [Event] and a line in the log, never a 5xx.
//
// # Standards
//
// HTTP caching is RFC 9111, stale answers RFC 5861, Cache-Status RFC 9211, targeted fields RFC 9213; preconditions
// and ranges are RFC 9110.
//
// # Tasks
//
//   - Cache a handler: [Cache.Wrap], [Cache.Middleware], [TTL], [OverrideTTL], [StatusTTL]
//   - Choose the key: [Vary], [QueryParams], [IgnoreQueryParams], [Key], [AnyHost]
//   - Pages of users: [PerUser], [Public], [Cookies], [Before]
//   - Serve stale: [StaleWhileRevalidate], [StaleIfError]
//   - Invalidate: [Cache.InvalidateTags], [Cache.InvalidateURLs], [Cache.Delete], [Cache.Clear]
//   - From inside a handler: [FromContext], [AddTags], [SetTTL], [NoStore]
//   - Watch: Config.Observe, [Cache.Stats], [Cache.Entries]
package reprise

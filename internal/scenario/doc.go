// Package scenario runs conversations between clients, a cached handler and its origin, written as text, under a fake
// clock. It is for tests only. It knows HTTP and nothing of the cache: a [Subject] interprets the names of options and
// commands, so that the same files hold whatever store is behind.
//
//	# RFC 9111 §4.2: an answer is fresh for its TTL, and at exactly its TTL no longer.
//
//	== one minute by default
//	> GET /a
//	< 200 MISS
//	  | v1
//	+59s
//	> GET /a
//	< 200 HIT
//	  Age: 59
//	  | v1
//	+1s
//	> GET /a
//	< 200 MISS
//	  | v2
//	n=2
//
// A file begins with a comment that says which behaviour it holds, and has one or more scenarios. Lines that are
// indented deeper belong to the line above. A line whose first character is # is a comment; indentation is by spaces.
//
// # Setting
//
//	== NAME [MARK]                begins a scenario; one with a mark runs only where Run is given that mark
//	config NAME=VALUE …           options of the whole cache
//	route [PATTERN] NAME=VALUE …  wraps the origin; PATTERN is http.ServeMux's; without one the route serves everything
//	plain PATTERN                 serves PATTERN from the origin itself
//	outer                         fields that a middleware outside the cache sets: {m} counts the requests it saw
//	  X-Id: {m}
//	handler [METHOD] [PATH] [n=2] [n=3-]   what the origin does, first match wins; n= names calls of the origin
//	  sleep 50ms                  lets the clock run
//	  201                         the status; without it the handler never calls WriteHeader
//	  Link: <a>; rel=x            adds a field
//	  | text {path}               writes; \n is a line feed
//	  flush
//	  early 103                   sends an informational response with the fields so far
//	  trailer X-Sum: 1
//	  do COMMAND ARG …            runs a command of the Subject with the request's context
//	  wait                        until the request's context has ended
//	  panic text
//	  abort                       panics with http.ErrAbortHandler
//
// Without a handler the origin answers 200, text/plain, v{n}. Handlers that follow a step replace those before it.
// Texts may hold {n} (which call of the origin this is), {method}, {host}, {uri}, {path}, {query}, {query:NAME},
// {header:NAME}, {cookie:NAME}, {body} and {repeat:TEXT:COUNT}.
//
// # Steps
//
//	> METHOD TARGET               sends a request
//	  Accept-Language: en         its fields; Host is shop.test unless given
//	  | body
//	< STATUS HIT|MISS|-|*         its response, and what X-Cache says: - is absent, * is not looked at
//	  Link: <a>; rel=x            every line of a field, in order
//	  !ETag                       no such field
//	  Vary ~ accept-language      some line contains this, in any case
//	  ETag = $tag                 remember the value; $tag stands for it from here on
//	  early 103                   an informational response came before
//	  | v1                        the body; several lines are joined without a break
//	  length 40000                bytes of the body
//	  ...                         this much has arrived at this moment, and the body has not ended
//	  cut                         the body broke off
//	  took 100ms                  by the clock, from sending to the end; also: took <= 100ms
//	< cut                         the connection was closed without a response
//	a> … and a< …                 the same for a client of that name: it does not wait until its response is asked for.
//	                              a< without a status goes on with the body
//	hangup a                      a closes its connection
//	parallel 100                  so many clients at once; {i} is 1 to 100
//	  > GET /a
//	  < 200 *                     or < * for whatever it is
//	tally MISS=1 200=99 cut=1     what the clients of the last parallel got: X-Cache, statuses, broken connections
//	n=1                           calls of the origin so far
//	+59s                          lets the clock run
//	! COMMAND ARG …               runs a command of the Subject. Where its arguments end in METHOD TARGET, it is given
//	  Accept-Language: en         that request and the route it would reach
//	  = 1                         its output; also ~ contains, and error TEXT for what its error contains
//	process B                     what follows happens in another process; the first is A
//	new process                   ends this process and begins it anew
//	[MARK] STEP                   only where Run is given that mark
//
// # Words of reprise
//
// The Subjects of this repository understand, under a clock that begins at 2000-01-01 00:00:00 UTC:
//
// Route options by their Go names: TTL=60s, TTL=forever, StaleWhileRevalidate, StaleIfError, OverrideTTL, FillTimeout,
// Jitter=0.5, Tags=a,b, Namespaced=a, StatusTTL=404:10s, ClientTTL, ClientCacheControl="no-cache, private",
// Vary=Accept-Language, QueryParams=a,b, QueryDefault=b:1, IgnoreQueryParams=utm_*, Cookies=lang, AnyHost, Public,
// Statuses=200,404, Methods=GET,POST, InvalidateOnWrite=off, MaxBody=1000, ETag=off, CacheStatus=off,
// IgnoreRequestDirectives, TargetedFields=CDN-Cache-Control, AllowSetCookie, Standard, Off. Those that take a function take
// the name of a field instead:
//
//	Before=X-Key     401 to a request without it, before the look-up; ! Guarded prints how many requests it saw
//	SkipIf=X-Skip    requests that have it
//	Storable=X-Keep  responses that have it
//	TTLFunc=X-TTL    the lifetime is the duration that it names in the response, 0 without it
//	TagsFunc=X-Tags  its parts in the request
//	PerUser=X-User   names the user in the request
//	Scheme=X-Proto   names the scheme in the request
//	Key=header:X-K   the key is this field; also Key=fail, Key=panic and Key=nothing
//
// Configuration: Namespace=shop, NamespacePolicy=Replace, StatusHeader=X-Name/H/M, StatusHeader=off, Disabled,
// DefaultTTL=10s (a Policy in Defaults), and FaultyStore, whose store obeys ! Fail Get, ! Fail Set, ! Fail Delete and
// ! Heal.
//
// Commands by their Go names: Delete METHOD TARGET and Key METHOD TARGET (of the route that it would reach), Clear
// [NAMESPACE], InvalidateTags TAG …, InvalidateURLs URL …, each also behind the word Soft; SetEnabled on|off; Entries
// (their number), Set KEY VALUE, Get KEY (prints none if there is none). In a handler also AddTags, SetTTL 10s and
// NoStore.
//
// Marks: memory, for what only an entry in this process shows; shared, for stores that several processes read; lasting,
// for stores that outlive their process; faulty, where FaultyStore is understood; values, where ! Get and ! Set are.
package scenario

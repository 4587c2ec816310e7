// Package rfc9111 answers the questions of HTTP caching as pure functions: may this response be stored, how long does
// it live, how old is it, may it be reused for this request, what does it vary on, how is it validated, what does it
// invalidate. It sees headers, status codes, methods and times, and neither a clock nor a store.
//
// The cache is a shared one. Each branch cites its section, of RFC 9111 where no other is named, and the tests are
// named after the sections.
package rfc9111

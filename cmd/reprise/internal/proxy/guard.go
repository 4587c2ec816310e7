package proxy

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/internal/header"
)

// refusal is why a request is answered without the cache and the origin.
type refusal struct {
	status int
	reason string
}

// guard makes a request from the network one that the cache can key and the origin can be shown: what it leaves is
// either in the key, or said by the proxy itself, or not believed to change an answer. It changes r, which is the server's and
// not yet anybody else's.
func (s *Server) guard(r *http.Request) (refusal, bool) {
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace || r.Method == "PURGE":
		// A tunnel is not offered, TRACE would show the proxy's own fields, and purging has an address of its own.
		return refusal{http.StatusMethodNotAllowed, "method"}, false
	case r.URL.Scheme != "" && r.URL.Scheme != "http" && r.URL.Scheme != "https",
		r.URL.Opaque != "", r.URL.User != nil,
		!strings.HasPrefix(r.URL.Path, "/") && (r.Method != http.MethodOptions || r.URL.Path != "*") && r.URL.Path != "":
		return refusal{http.StatusBadRequest, "request-target"}, false
	case !hostPort(r.Host):
		return refusal{http.StatusBadRequest, "host"}, false
	}
	h := r.Header
	if h["Connection"] != nil {
		dropNominated(h)
	}
	if up := h["Upgrade"]; up != nil {
		// An h2c upgrade would make a tunnel through the proxy of a connection to the origin.
		if len(up) != 1 || !strings.EqualFold(up[0], "websocket") || r.ProtoMajor != 1 {
			delete(h, "Upgrade")
			delete(h, "Http2-Settings")
			h.Del("Connection")
		}
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions || r.Method == "QUERY"
	for name := range h {
		switch {
		case strings.IndexByte(name, '_') >= 0:
			// To CGI and its heirs X_Forwarded_Host is X-Forwarded-Host.
			delete(h, name)
		case unkeyed(name), safe && overridesMethod(name):
			delete(h, name)
		}
	}
	s.forwardedFor(r)
	return refusal{}, true
}

// unkeyed reports whether frameworks take from the field of that name, which is not in the key, the URL, the host, the
// client or the way in which the request is handled.
func unkeyed(name string) bool {
	switch name {
	case "Forwarded-For", "X-Forwarded", "X-Forwarder-For", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip",
		"Fastly-Client-Ip", "X-Cluster-Client-Ip", "X-Originating-Ip", "X-Remote-Ip", "X-Remote-Addr", "X-Proxyuser-Ip":
		return true // the client
	case "X-Host", "X-Original-Host", "X-Http-Host-Override", "X-Backend-Host", "X-Url-Scheme", "Front-End-Https", "X-Https":
		return true // host and scheme
	case "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Override-Url", "X-Request-Uri", "Request-Uri", "X-Script-Name",
		"X-Envoy-Original-Path", "Base-Url", "Http-Url":
		return true // the path
	case "Proxy", "Surrogate-Capability", "X-Sendfile-Type", "X-Accel-Mapping", "X-Accel-Redirect", "X-Middleware-Subrequest",
		"X-Middleware-Rewrite", "X-Middleware-Prefetch", "X-Invoke-Path", "X-Invoke-Query", "X-Invoke-Status", "X-Matched-Path",
		"X-Now-Route-Matches", "X-Amz-Website-Redirect-Location":
		return true // inner workings of frameworks
	case "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
		return false // forwardedFor sees to them
	}
	return strings.HasPrefix(name, "X-Forwarded-")
}

// overridesMethod reports whether frameworks take the method from the field. With a method that changes something that is
// what it is for, and nothing is shared.
func overridesMethod(name string) bool {
	switch name {
	case "X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Method", "X-Original-Method", "Http-Method":
		return true
	}
	return false
}

// dropNominated takes away what Connection names (RFC 9110 §7.6.1), except what a client cannot mean to keep from the
// origin: that would be how it makes an origin answer as if the request had no credentials, or no directives.
func dropNominated(h http.Header) {
	var keep []string
	for token := range header.List(h["Connection"]) {
		switch name := textproto.CanonicalMIMEHeaderKey(token); name {
		case "Close", "Keep-Alive", "Upgrade":
			keep = append(keep, token)
		case "Te":
			// Te itself says no more than that the client takes trailers; httputil.ReverseProxy passes that on.
		default:
			if !matters(name) {
				delete(h, name)
			}
		}
	}
	if len(keep) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(keep, ", ")}
}

// matters reports whether the field changes what the origin answers or what the cache does.
func matters(name string) bool {
	switch name {
	case "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Content-Encoding",
		"Content-Length", "Content-Type", "Cookie", "Expect", "Forwarded", "Host", "If-Match", "If-Modified-Since", "If-None-Match",
		"If-Range", "If-Unmodified-Since", "Origin", "Pragma", "Range", "Referer", "User-Agent", "Via":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Sec-")
}

// forwardedFor sets X-Forwarded-For, -Host and -Proto. What a trusted peer says of them becomes the request's own host and
// scheme, and with that part of the key; from anybody else it is ignored.
func (s *Server) forwardedFor(r *http.Request) {
	h := r.Header
	delete(h, "Forwarded")
	ip, chain := peer(r.RemoteAddr), ""
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	if s.trusts(ip) {
		if v := h["X-Forwarded-Proto"]; len(v) == 1 && (v[0] == "http" || v[0] == "https") {
			proto = v[0]
		}
		if v := h["X-Forwarded-Host"]; len(v) == 1 && v[0] != "" && hostPort(v[0]) {
			r.Host = v[0]
		}
		chain = strings.Join(h["X-Forwarded-For"], ", ")
	}
	if chain != "" {
		ip = chain + ", " + ip
	}
	values := [3]string{ip, r.Host, proto}
	h["X-Forwarded-For"] = values[0:1:1]
	h["X-Forwarded-Host"] = values[1:2:2]
	h["X-Forwarded-Proto"] = values[2:3:3]
}

// scheme is what forwardedFor has found.
func scheme(r *http.Request) string { return r.Header.Get("X-Forwarded-Proto") }

// peer returns the address of who sent the request, without the port.
func peer(remote string) string {
	i := strings.LastIndexByte(remote, ':')
	if i < 0 {
		return remote
	}
	return strings.Trim(remote[:i], "[]")
}

func (s *Server) trusts(ip string) bool {
	if len(s.cfg.TrustedProxies) == 0 {
		return false
	}
	addr, err := netip.ParseAddr(ip)
	return err == nil && slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr.WithZone("").Unmap()) })
}

// hostPort reports whether s is a host with or without a port, of which nothing can be taken for something else. Empty
// is what HTTP/1.0 may send.
func hostPort(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		case c == ':', c == '[' && i == 0, c == ']' && s[0] == '[':
		default:
			return false
		}
	}
	if s == "" || s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if s == "" {
			return true
		}
		if end < 0 {
			return false
		}
		_, err := netip.ParseAddr(s[1:end])
		return err == nil && port(s[end+1:])
	}
	name, _, _ := strings.Cut(s, ":")
	return name != "" && port(s[len(name):])
}

// port reports whether s is a port with its colon, or nothing.
func port(s string) bool {
	if s == "" {
		return true
	}
	return s[0] == ':' && len(s) <= 6 && !strings.ContainsFunc(s[1:], func(r rune) bool { return r < '0' || r > '9' })
}

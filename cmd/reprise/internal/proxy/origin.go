package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// What the origin may take, beside Config.OriginTimeout.
const (
	dialTimeout     = 5 * time.Second
	handshake       = 5 * time.Second
	originIdle      = 4 * time.Second // less than what Node and Uvicorn wait (5 s): a request on a connection that closes is lost
	originHeadBytes = 256 << 10
)

// errBusy says that the origin has as many requests as it may have, and that as many wait as may.
var errBusy = errors.New("proxy: too many requests wait for the origin")

// origin sends requests to the origin: a bounded number at once, and what it answers comes back as it was sent.
type origin struct {
	transport *http.Transport
	slots     chan struct{} // one for each request at the origin
	waiting   chan struct{} // one for each that waits for a slot
}

func newOrigin(cfg *Config) *origin {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	o := &origin{
		slots:   make(chan struct{}, cfg.MaxOriginRequests),
		waiting: make(chan struct{}, cfg.MaxWaiting),
	}
	o.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &originConn{Conn: conn}, nil
		},
		// Not the transport's own TLS: what the origin says has to be seen before net/http reads it.
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, dialTimeout+handshake)
			defer cancel()
			conn, err := (&tls.Dialer{NetDialer: dialer, Config: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &originConn{Conn: conn}, nil
		},
		// A body that is decoded here would have to be stored without its Content-Encoding and its entity tag.
		DisableCompression:     true,
		MaxIdleConnsPerHost:    cfg.MaxOriginRequests,
		IdleConnTimeout:        originIdle,
		ResponseHeaderTimeout:  cfg.OriginTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: originHeadBytes,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}
	return o
}

// RoundTrip waits for a slot, for as long as the request lives, and holds it until the body of the response is closed. A
// connection that has switched protocols is not a request any more.
func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := o.enter(r.Context()); err != nil {
		return nil, err
	}
	leave := sync.OnceFunc(func() { <-o.slots })
	var conn *originConn // of the last attempt
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if c, ok := info.Conn.(*originConn); ok {
			conn = c
			c.expectHead()
		}
	}}
	res, err := o.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil {
		leave()
		return nil, err
	}
	res.Request = r
	if res.Close && conn != nil {
		for _, name := range conn.nominated() {
			res.Header.Del(name)
		}
	}
	if err := unhide(res.Header); err != nil {
		_ = res.Body.Close()
		leave()
		return nil, err
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		leave()
		return res, nil // its body is a connection, which a wrapper would hide
	}
	res.Body = &slotBody{ReadCloser: res.Body, leave: leave}
	return res, nil
}

func (o *origin) enter(ctx context.Context) error {
	select {
	case o.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case o.waiting <- struct{}{}:
		defer func() { <-o.waiting }()
	default:
		return errBusy
	}
	select {
	case o.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type slotBody struct {
	io.ReadCloser
	leave func()
}

func (b *slotBody) Close() error {
	defer b.leave()
	return b.ReadCloser.Close()
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/redisstore"
)

const storeForms = "memory://, redis://host:6379, memcached://host:11211, dynamodb://table?endpoint=http://host:8000, file:///directory"

// openStore opens the store that a URL names. It need not be reachable: that shows with the first call. The closer
// ends all that was opened for it. Errors do not show a password.
func openStore(ctx context.Context, raw string) (store.Store, io.Closer, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("--store: this is no URL; use one of %s", storeForms)
	}
	switch u.Scheme {
	case "memory":
		return openMemory(u)
	case "redis", "rediss", "valkey", "valkeys":
		s, err := redisstore.New(redisstore.Config{URL: raw})
		return opened(s, err)
	case "memcached":
		return openMemcached(u)
	case "dynamodb":
		return openDynamo(ctx, u)
	case "file":
		return openFile(u)
	}
	return nil, nil, fmt.Errorf("--store %s: unknown kind of store; use one of %s", u.Redacted(), storeForms)
}

// redacted returns a store's URL without the password.
func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

func openMemory(u *url.URL) (store.Store, io.Closer, error) {
	if u.Host != "" || u.Path != "" {
		return nil, nil, fmt.Errorf("--store %s: memory has no address; use memory://", u.Redacted())
	}
	n, err := maxBytes(u)
	if err != nil {
		return nil, nil, err
	}
	s, err := memstore.New(memstore.Config{MaxBytes: n})
	return opened(s, err)
}

// openMemcached opens memcached://host:port, with further servers as ?addr=host:port, repeated.
func openMemcached(u *url.URL) (store.Store, io.Closer, error) {
	if u.Port() == "" || u.Path != "" {
		return nil, nil, fmt.Errorf("--store %s: no server; use memcached://host:11211?addr=host:11211", u.Redacted())
	}
	if err := onlyParams(u, "addr"); err != nil {
		return nil, nil, err
	}
	s, err := memcachedstore.New(memcachedstore.Config{Servers: append([]string{u.Host}, u.Query()["addr"]...)})
	return opened(s, err)
}

func openFile(u *url.URL) (store.Store, io.Closer, error) {
	cfg, err := fileConfig(u)
	if err != nil {
		return nil, nil, err
	}
	s, err := filestore.Open(u.Path, cfg)
	return opened(s, err)
}

func fileConfig(u *url.URL) (cfg filestore.Config, err error) {
	if u.Host != "" && u.Host != "localhost" || len(u.Path) < 2 {
		return cfg, fmt.Errorf("--store %s: no absolute directory; use file:///var/cache/reprise", u.Redacted())
	}
	cfg.MaxBytes, err = maxBytes(u)
	return cfg, err
}

// maxBytes returns the one parameter of a store that is bounded in bytes; 0 if it is not there.
func maxBytes(u *url.URL) (int64, error) {
	if err := onlyParams(u, "max_bytes"); err != nil {
		return 0, err
	}
	v := u.Query().Get("max_bytes")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("--store %s: max_bytes is not a positive number; write bytes, such as max_bytes=1000000000", u.Redacted())
	}
	return n, nil
}

// checkStore finds mistakes in the URL of a store without touching what it names: another process may be using it.
func checkStore(ctx context.Context, raw string) error {
	if u, err := url.Parse(raw); err == nil {
		switch u.Scheme {
		case "file":
			_, err := fileConfig(u)
			return err
		case "dynamodb":
			return dynamoFault(u)
		}
	}
	_, closer, err := openStore(ctx, raw)
	if err != nil {
		return err
	}
	return closer.Close()
}

// opened is what a store's constructor returned, without a store that is a nil pointer.
func opened[S interface {
	store.Store
	io.Closer
}](s S, err error) (store.Store, io.Closer, error) {
	if err != nil {
		return nil, nil, fmt.Errorf("--store: %w", err)
	}
	return s, s, nil
}

// onlyParams refuses query parameters that mean nothing to the store: a typing error must not pass for a setting.
func onlyParams(u *url.URL, known ...string) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fmt.Errorf("--store %s: the query does not parse: %w", u.Redacted(), err)
	}
	for name := range q {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--store %s: unknown parameter %q", u.Redacted(), name)
		}
	}
	return nil
}

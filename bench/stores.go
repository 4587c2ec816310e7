package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/bradfitz/gomemcache/memcache"
	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/redisstore"
)

const storesNote = `Hits from a store outside the process, on a real server on this machine, one request after the other: a handler's
stored answer beside the least that its client can do, which is to get a value of the same size. reprise asks in the same round trip whether
the answer was invalidated, decodes it and checks it. The CPU is that of this process, not the server's; the time includes
the server, which shares this machine's cores.`

// stores measures remote stores beside their raw clients. A server that is not installed is left out with a note.
func (b *bench) stores() error {
	t := b.report.table("Stores outside the process", storesNote, "store, body", "", "time, µs", "× raw", "CPU, µs", "× raw", "allocations")
	for _, r := range []struct {
		name string
		open func(testing.TB) remote
	}{{"Redis", openRedis}, {"Memcached", openMemcached}, {"DynamoDB", openDynamoDB}} {
		if err := b.remote(t, r.name, r.open); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// remote is a store outside the process and its raw client.
type remote struct {
	store store.Store
	raw   string // what get is
	set   func(key string, value []byte) error
	get   func(key string) ([]byte, error)
}

// host stands in for a test, for which servers are started. What it is told to clean up is cleaned up by close.
type host struct {
	testing.TB
	cleanups []func()
}

var errNoServer = errors.New("not installed")

type refused struct{ err error }

func (h *host) Helper()                      {}
func (h *host) Context() context.Context     { return context.Background() }
func (h *host) Cleanup(f func())             { h.cleanups = append(h.cleanups, f) }
func (h *host) Skip(...any)                  { panic(refused{errNoServer}) }
func (h *host) Fatal(args ...any)            { panic(refused{errors.New(fmt.Sprint(args...))}) }
func (h *host) Errorf(f string, args ...any) { panic(refused{fmt.Errorf(f, args...)}) }

func (h *host) close() {
	for _, f := range slices.Backward(h.cleanups) {
		f()
	}
}

func (b *bench) remote(t *table, name string, open func(testing.TB) remote) (err error) {
	h := &host{}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case refused:
			err = v.err
		default:
			panic(v)
		}
		if errors.Is(err, errNoServer) {
			t.add(name, "not installed here", "", "", "", "", "")
			err = nil
		}
	}()
	defer h.close()
	r := open(h)
	if c, ok := r.store.(io.Closer); ok {
		h.Cleanup(func() { _ = c.Close() })
	}
	c := reprise.Must(reprise.New(reprise.Config{
		Store: r.store, Limits: reprise.Limits{StoreTimeout: 5 * time.Second}, // a server that has just started is slow
	}))
	h.Cleanup(func() { _ = c.Close() })
	for _, size := range []int{1 << 10, 64 << 10} {
		if err := b.remoteSize(t, name, r, c, size); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) remoteSize(t *table, name string, r remote, c *reprise.Cache, size int) error {
	key, body := fmt.Sprintf("raw%d", size), text(size)
	if err := r.set(key, body); err != nil {
		return err
	}
	h := c.Wrap(origin(body), reprise.TTL(lifetime))
	ask := func(int) asker { return askHTTP(h, requests([]string{fmt.Sprintf("/products/%d", size)})) }
	ask(0).ask(0)
	if a := record(h, get(fmt.Sprintf("/products/%d", size))); a.status != http.StatusOK || !strings.Contains(fmt.Sprint(a.fields), "HIT") {
		return fmt.Errorf("no hit: %v", a.fields)
	}
	var failed error
	rs := b.contest(1, []contender{
		{name: r.raw, loop: func(int) func(int) {
			return func(n int) {
				for range n {
					if v, err := r.get(key); err != nil || len(v) != size {
						failed = fmt.Errorf("%s: %d bytes, %w", r.raw, len(v), err)
					}
				}
			}
		}},
		asking("reprise", r.raw, ask, order(1)),
	})
	if failed != nil {
		return failed
	}
	raw := of(rs, r.raw)
	what := fmt.Sprintf("%s, %d KiB", name, size>>10)
	for _, x := range rs {
		t.add(what, bold(x.name), fmt.Sprintf("%.0f", x.wall/1000), fmt.Sprintf("%.2f", x.wall/raw.wall), fmt.Sprintf("%.1f", x.cpu/1000),
			fmt.Sprintf("%.2f", x.cpu/raw.cpu), count(x.allocs))
		what = ""
	}
	return nil
}

func openRedis(t testing.TB) remote {
	addr := realserver.NewRedis(t).Addr()
	s, err := redisstore.New(redisstore.Config{URL: "redis://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx := t.Context()
	return remote{
		store: s, raw: "rueidis Get",
		set: func(key string, value []byte) error {
			return client.Do(ctx, client.B().Set().Key(key).Value(rueidis.BinaryString(value)).Build()).Error()
		},
		get: func(key string) ([]byte, error) {
			return client.Do(ctx, client.B().Get().Key(key).Build()).AsBytes()
		},
	}
}

func openMemcached(t testing.TB) remote {
	addr := realserver.NewMemcached(t).Addr()
	s, err := memcachedstore.New(memcachedstore.Config{Servers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	client := memcache.New(addr)
	t.Cleanup(func() { _ = client.Close() })
	return remote{
		store: s, raw: "gomemcache Get",
		set: func(key string, value []byte) error { return client.Set(&memcache.Item{Key: key, Value: value}) },
		get: func(key string) ([]byte, error) {
			item, err := client.Get(key)
			if err != nil {
				return nil, err
			}
			return item.Value, nil
		},
	}
}

func openDynamoDB(t testing.TB) remote {
	addr := realserver.NewDynamoDB(t).Addr()
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String("http://" + addr), Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
	cfg := dynamostore.Config{Client: client, Table: "bench"}
	ctx := t.Context()
	if err := dynamostore.CreateTable(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	s, err := dynamostore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	keyed := func(key string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "raw " + key},
		}
	}
	return remote{
		store: s, raw: "aws-sdk GetItem",
		set: func(key string, value []byte) error {
			item := keyed(key)
			item["v"] = &types.AttributeValueMemberB{Value: value}
			_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("bench"), Item: item})
			return err
		},
		get: func(key string) ([]byte, error) {
			out, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("bench"), Key: keyed(key)})
			if err != nil {
				return nil, err
			}
			v, ok := out.Item["v"].(*types.AttributeValueMemberB)
			if !ok {
				return nil, errors.New("no value")
			}
			return v.Value, nil
		},
	}
}

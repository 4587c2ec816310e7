package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
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

const storesNote = `A hit is a handler's stored answer through the middleware; beside it stands the least that a client of the store
can do, which is to get a value of the same size before a deadline. Both go round 128 keys. "64 at once" are 64
goroutines of this process.`

const (
	many           = 64 // goroutines that ask at once, beside one alone
	remoteKeys     = 128
	remoteDeadline = 5 * time.Second // of one operation, on either side: a server that has just started is slow
)

// stores measures remote stores beside their raw clients. A server that is not installed is left out with a note.
func (b *bench) stores() error {
	long := *b
	long.sample *= 4 // an operation takes a hundred times as long as in memory
	t := b.report.table("Hits", storesNote, "store, body", "", "time, µs", "× raw", "CPU, µs", "× raw", "allocations")
	for _, r := range []struct {
		name    string
		open    func(testing.TB) remote
		version func() string
	}{
		{"Redis", openRedis, func() string { return version("redis-server", "--version") }},
		{"Memcached", openMemcached, func() string { return version("memcached", "--version") }},
		{"DynamoDB", openDynamoDB, nil}, // Local says its version nowhere
	} {
		err := hosted(func(h *host) error { return long.remote(h, t, r.name, r.open) })
		switch {
		case errors.Is(err, errNoServer):
			t.add(r.name, err.Error(), "", "", "", "", "")
			fmt.Fprintf(b.log, "%s is left out: %v\n", r.name, err)
		case err != nil:
			return fmt.Errorf("%s: %w", r.name, err)
		case r.version != nil:
			b.report.versions = append(b.report.versions, module{r.name, r.version()})
		}
	}
	return nil
}

// remote is a store outside the process and its raw client.
type remote struct {
	store  store.Store
	raw    string // what get is
	set    func(key string, value []byte) error
	get    func(key string) ([]byte, error)
	crowds []int // how many ask at once
}

func (b *bench) remote(h *host, t *table, name string, open func(testing.TB) remote) error {
	r := open(h)
	if c, ok := r.store.(io.Closer); ok {
		h.Cleanup(func() { _ = c.Close() })
	}
	c := reprise.Must(reprise.New(reprise.Config{
		Store: r.store, Limits: reprise.Limits{StoreTimeout: remoteDeadline},
	}))
	h.Cleanup(func() { _ = c.Close() })
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, crowd := range r.crowds {
			if err := b.remoteSize(t, name, r, c, size, crowd); err != nil {
				return err
			}
		}
	}
	return nil
}

// remoteSize measures over several keys: a client with many connections uses only one of them for a key. Before, as many
// ask at once as will in any contest: rueidis serves a connection otherwise once two calls have met on it, which in a
// server they soon have, and does so for good.
func (b *bench) remoteSize(t *table, name string, r remote, c *reprise.Cache, size, crowd int) error {
	body := text(size)
	keys, paths := make([]string, remoteKeys), make([]string, remoteKeys)
	for i := range keys {
		keys[i], paths[i] = fmt.Sprintf("raw-%d-%d", size, i), fmt.Sprintf("/products/%d/%d", size, i)
		if err := r.set(keys[i], body); err != nil {
			return err
		}
	}
	var calls atomic.Int64
	h := c.Wrap(missing(func() { calls.Add(1) }, origin(body)), reprise.TTL(lifetime))
	for _, path := range paths {
		record(h, get(path))
		if a := record(h, get(path)); a.status != http.StatusOK || len(a.body) != size {
			return fmt.Errorf("status %d with %d bytes: %v", a.status, len(a.body), a.fields)
		}
	}
	filled := calls.Load()
	// Goroutines share the requests: thousands would be in no processor's caches, where a server's request is that was just read.
	rs := requests(paths)
	var failed atomic.Pointer[error]
	raw := func(at int) func() {
		return func() {
			v, err := r.get(keys[at%remoteKeys])
			if err == nil && len(v) != size {
				err = fmt.Errorf("%d bytes", len(v))
			}
			if err != nil {
				failed.Store(&err)
			}
			at++
		}
	}
	hit := func(at int) func() {
		a := askHTTP(h, rs)
		return func() {
			a.ask(at % remoteKeys)
			at++
		}
	}
	for _, operation := range []func(int) func(){raw, hit} {
		atOnce(slices.Max(r.crowds), operation)(0)(10 * remoteKeys)
	}
	results := b.contest(1, []contender{
		{name: r.raw, loop: atOnce(crowd, raw)},
		{name: "reprise", loop: atOnce(crowd, hit)},
	})
	if err := failed.Load(); err != nil {
		return fmt.Errorf("%s: %w", r.raw, *err)
	}
	if n := calls.Load() - filled; n > 0 {
		return fmt.Errorf("%d requests of a contest of hits were misses", n)
	}
	base := of(results, r.raw)
	what := fmt.Sprintf("%s, %d KiB", name, size>>10)
	if crowd > 1 {
		what += fmt.Sprintf(", %d at once", crowd)
	}
	for _, x := range results {
		t.add(what, bold(x.name), fmt.Sprintf("%.0f", x.wall/1000), fmt.Sprintf("%.2f", x.wall/base.wall), fmt.Sprintf("%.1f", x.cpu/1000),
			fmt.Sprintf("%.2f", x.cpu/base.cpu), count(x.allocs))
		what = ""
	}
	return nil
}

// atOnce is the loop of a contender that does its work in n goroutines at once, each of which has an operation of its own.
func atOnce(n int, operation func(goroutine int) func()) func(int) func(int) {
	return func(int) func(int) {
		ops := make([]func(), n)
		for g := range ops {
			ops[g] = operation(g)
		}
		return func(times int) {
			var all sync.WaitGroup
			for g, op := range ops {
				all.Go(func() {
					for range (times + g) / n { // in all, times
						op()
					}
				})
			}
			all.Wait()
		}
	}
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
		store: s, raw: "rueidis Get", crowds: []int{1, many},
		set: func(key string, value []byte) error {
			return client.Do(ctx, client.B().Set().Key(key).Value(rueidis.BinaryString(value)).Build()).Error()
		},
		get: func(key string) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, remoteDeadline)
			defer cancel()
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
	client.Timeout = remoteDeadline
	client.MaxIdleConns = many // by default it connects again and again
	t.Cleanup(func() { _ = client.Close() })
	return remote{
		store: s, raw: "gomemcache Get", crowds: []int{1, many},
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
		store: s, raw: "aws-sdk GetItem", crowds: []int{1}, // a JVM on the same cores is no match for more
		set: func(key string, value []byte) error {
			item := keyed(key)
			item["v"] = &types.AttributeValueMemberB{Value: value}
			_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("bench"), Item: item})
			return err
		},
		get: func(key string) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, remoteDeadline)
			defer cancel()
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

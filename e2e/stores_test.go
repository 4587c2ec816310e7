package e2e

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
	"github.com/reprise-go/reprise/store/filestore"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/redisstore"
	"github.com/reprise-go/reprise/store/tierstore"
)

// place is where a store keeps what it keeps, named so that another process can open it: kind, addresses and a prefix
// or directory.
type place struct {
	kind   string
	addrs  []string
	prefix string
}

// kinds are the stores that several processes can share.
var kinds = []string{"files", "redis", "cluster", "memcached", "dynamodb", "tier"}

var places atomic.Int64

const dynamoTable = "e2e"

// newPlace makes an empty place on the servers that the tests share.
func newPlace(t testing.TB, kind string) place {
	t.Helper()
	p := place{kind: kind, prefix: fmt.Sprintf("e2e%d", places.Add(1))}
	switch kind {
	case "files":
		p.prefix = t.TempDir()
	case "redis", "tier":
		p.addrs = []string{realserver.Redis(t)}
	case "cluster":
		p.addrs = realserver.RedisCluster(t)
	case "memcached":
		one, two := realserver.Memcached(t)
		p.addrs = []string{one, two}
	case "dynamodb":
		p.addrs = []string{realserver.DynamoDB(t)}
		createTable(t, p.addrs[0])
	default:
		t.Fatalf("no store of kind %q", kind)
	}
	return p
}

// open opens the store as each process does for itself, and says how it is closed.
func (p place) open() (s store.Store, closeAll func() error, err error) {
	switch p.kind {
	case "files":
		return closed(filestore.Open(p.prefix, filestore.Config{}))
	case "redis", "cluster":
		return closed(p.openRedis())
	case "memcached":
		return closed(memcachedstore.New(memcachedstore.Config{Servers: p.addrs, Prefix: p.prefix}))
	case "dynamodb":
		s, err := dynamostore.New(dynamostore.Config{Client: dynamoClient(p.addrs[0]), Table: dynamoTable, Prefix: p.prefix})
		return s, func() error { return nil }, err
	case "tier":
		return p.openTier()
	}
	return nil, nil, fmt.Errorf("no store of kind %q", p.kind)
}

func closed[S interface {
	store.Store
	io.Closer
}](s S, err error) (store.Store, func() error, error) {
	return s, s.Close, err
}

func (p place) openRedis() (*redisstore.Store, error) {
	url := "redis://" + p.addrs[0]
	if len(p.addrs) > 1 {
		url += "?addr=" + strings.Join(p.addrs[1:], "&addr=")
	}
	return redisstore.New(redisstore.Config{URL: url, Prefix: p.prefix + ":"})
}

// openTier puts memory before Redis.
func (p place) openTier() (store.Store, func() error, error) {
	near, err := memstore.New(memstore.Config{})
	if err != nil {
		return nil, nil, err
	}
	far, err := p.openRedis()
	if err != nil {
		return nil, nil, errors.Join(err, near.Close())
	}
	s, err := tierstore.New(tierstore.Config{Near: near, Far: far})
	if err != nil {
		return nil, nil, errors.Join(err, near.Close(), far.Close())
	}
	return s, func() error { return errors.Join(s.Close(), near.Close(), far.Close()) }, nil
}

func dynamoClient(addr string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String("http://" + addr), Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
}

func createTable(t testing.TB, addr string) {
	t.Helper()
	if err := dynamostore.CreateTable(t.Context(), dynamostore.Config{Client: dynamoClient(addr), Table: dynamoTable}); err != nil {
		t.Fatal(err)
	}
}

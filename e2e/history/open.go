package history

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/redisstore"
	"github.com/reprise-go/reprise/store/tierstore"
)

// Kinds of stores, in a [Spec].
const (
	Memory    = "memory" // of one process
	Redis     = "redis"
	Memcached = "memcached"
	DynamoDB  = "dynamodb"
)

// Table is the table of DynamoDB, which the driver's caller makes.
const Table = "history"

// Spec says what a worker is.
type Spec struct {
	Process int
	Store   string
	Addr    string
	Durable bool          // Redis: the server forgets nothing
	Near    bool          // a tier in memory before the store
	Skew    time.Duration // of the worker's clock
	Slow    float64       // the share of fills that take up to 50 ms; one in 200 of them takes 2 s
	Broken  string        // the name of a fault that the worker's program puts into the store, for the test of the checker
}

// open opens the store of a worker; breakage puts a fault into it.
func open(spec Spec, d *dialer, breakage func(Remote) Remote) (store.Store, error) {
	var far Remote
	var err error
	switch spec.Store {
	case Memory:
		return memstore.New(memstore.Config{})
	case Redis:
		far, err = redisstore.New(redisstore.Config{
			Durable: spec.Durable,
			Options: rueidis.ClientOption{
				InitAddress: []string{spec.Addr},
				DialCtxFn: func(ctx context.Context, addr string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
					return d.dial(ctx, "tcp", addr)
				},
			},
		})
	case Memcached:
		far, err = memcachedstore.New(memcachedstore.Config{Servers: []string{spec.Addr}, Dial: d.dial})
	case DynamoDB:
		far, err = dynamostore.New(dynamostore.Config{Client: dynamoClient(spec.Addr, d.dial), Table: Table})
	default:
		err = fmt.Errorf("history: no store is called %q", spec.Store)
	}
	if err != nil {
		return nil, err
	}
	far = Skewed(far, spec.Skew)
	if breakage != nil {
		far = breakage(far)
	}
	if !spec.Near {
		return far, nil
	}
	near, err := memstore.New(memstore.Config{})
	if err != nil {
		return nil, err
	}
	return tierstore.New(tierstore.Config{Near: near, Far: far, NearTTL: time.Hour})
}

// MakeTable makes the table of DynamoDB.
func MakeTable(ctx context.Context, addr string) error {
	var d net.Dialer
	return dynamostore.CreateTable(ctx, dynamostore.Config{Client: dynamoClient(addr, d.DialContext), Table: Table})
}

func dynamoClient(addr string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String("http://" + addr), Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), // a local server takes any
		HTTPClient:  &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 256}},
	})
}

// dialer opens connections and can reset them all.
type dialer struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

type conn struct {
	net.Conn
	d *dialer
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var nd net.Dialer
	nc, err := nd.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{nc, d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = make(map[*conn]struct{})
	}
	d.open[c] = struct{}{}
	return c, nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.d.mu.Lock()
	delete(c.d.open, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}

// reset breaks every connection in the middle of whatever it does.
func (d *dialer) reset() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for c := range d.open {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			errs = append(errs, tcp.SetLinger(0)) // the server sees a reset, not an end
		}
		errs = append(errs, c.Conn.Close())
		delete(d.open, c)
	}
	return errors.Join(errs...)
}

package redisstore

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Config says which server a [Store] uses, and how. Exactly one of Client, URL and Options names the server.
type Config struct {
	_ [0]func()

	// Client is a client that the caller opened and closes, after the store. Besides its ordinary connections the
	// store uses up to four of its dedicated ones, and one for each master while Notify runs. It should have
	// DisableRetry set, leave RingScaleEachConn as it is or raise it, and must not send reads to replicas.
	Client rueidis.Client

	// URL is of the form redis://user:password@host:6379/0, with rediss, valkey or valkeys for redis, or
	// unix:///path/to/socket?db=0. A Cluster is recognised by itself; further nodes of it are ?addr=host:port,
	// repeated. With ?master_set=name, the hosts are Sentinels. Other parameters are db, dial_timeout (1s),
	// write_timeout (2s), skip_verify, protocol and client_name. The store opens the client and closes it.
	URL string

	// Options is for what a URL cannot say, such as client certificates. InitAddress is required, ReplicaOnly and
	// SendToReplicas are refused; Dialer.Timeout is 1s unless set, ConnWriteTimeout 2s. The store opens the client,
	// with DisableRetry and DisableCache set, and closes it.
	Options rueidis.ClientOption

	// Prefix begins every key of the store on the server, and is what keeps stores apart that share one; "" is
	// "reprise:". At most 64 bytes of printable ASCII without space and braces. No store's prefix should begin
	// with another's.
	Prefix string

	// Durable says that the servers forget no write that they acknowledged, neither in a restart nor in a
	// failover: appendfsync always and no replica that can be promoted without having every write, or a service
	// that promises as much. What is stored then survives both. False: a new run of a server invalidates
	// everything that was stored before, once.
	Durable bool
}

const (
	defaultPrefix = "reprise:"
	maxPrefix     = 64

	// What a client that the store opens waits for. A cache that is slower than this is no help.
	dialTimeout  = time.Second
	writeTimeout = 2 * time.Second

	// sentinelRefresh bounds how long a missed message of a Sentinel goes unnoticed.
	sentinelRefresh = 5 * time.Second
)

// New returns a store. It does not connect. The error joins one for each mistake in cfg.
func New(cfg Config) (*Store, error) {
	var errs []error
	if cfg.Prefix == "" {
		cfg.Prefix = defaultPrefix
	}
	if err := checkPrefix(cfg.Prefix); err != nil {
		errs = append(errs, err)
	}
	var named []string
	if cfg.Client != nil {
		named = append(named, "Client")
	}
	options := cfg.Options
	if cfg.URL != "" {
		named = append(named, "URL")
		var err error
		if options, err = parseURL(cfg.URL); err != nil {
			errs = append(errs, err)
		}
	}
	if !reflect.ValueOf(cfg.Options).IsZero() {
		named = append(named, "Options")
		errs = append(errs, checkOptions(cfg.Options)...)
	}
	switch len(named) {
	case 0:
		errs = append(errs, errors.New("redisstore: Config names no server: set URL, for example redis://localhost:6379, or Client or Options"))
	case 1:
	default:
		errs = append(errs, fmt.Errorf("redisstore: Config names a server more than once: keep one of %s", strings.Join(named, ", ")))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return newStore(cfg, withDefaults(options)), nil
}

func checkOptions(o rueidis.ClientOption) []error {
	var errs []error
	if len(o.InitAddress) == 0 {
		errs = append(errs, errors.New("redisstore: Options.InitAddress is empty: name at least one host:port"))
	}
	if o.ReplicaOnly || o.SendToReplicas != nil {
		errs = append(errs, errors.New("redisstore: Options.ReplicaOnly or SendToReplicas is set: a replica does not know the last invalidations; leave both unset"))
	}
	return errs
}

func checkPrefix(prefix string) error {
	if len(prefix) > maxPrefix {
		return fmt.Errorf("redisstore: Prefix %q has %d bytes: use at most %d", prefix, len(prefix), maxPrefix)
	}
	for _, c := range []byte(prefix) {
		if c < '!' || c > '~' || c == '{' || c == '}' {
			return fmt.Errorf("redisstore: Prefix %q contains %q: use printable ASCII without space and braces", prefix, c)
		}
	}
	return nil
}

// parseURL returns errors that do not show the password.
func parseURL(s string) (rueidis.ClientOption, error) {
	u, err := url.Parse(s)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL
		}
		return rueidis.ClientOption{}, fmt.Errorf("redisstore: URL is not one: %w: use a form like redis://user:password@host:6379/0", err)
	}
	var errs []error
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		errs = append(errs, fmt.Errorf("redisstore: URL %q: %w", u.Redacted(), err))
	}
	// What rueidis.ParseURL reads and the store leaves open.
	known := []string{"addr", "db", "dial_timeout", "write_timeout", "skip_verify", "protocol", "client_name", "master_set"}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("redisstore: URL %q: unknown parameter %q: use %s", u.Redacted(), name, strings.Join(known, ", ")))
		}
	}
	if u.Scheme == "unix" && strings.TrimSpace(u.Path) == "" {
		errs = append(errs, fmt.Errorf("redisstore: URL %q: no path: use unix:///path/to/socket", u.Redacted()))
	}
	options, err := rueidis.ParseURL(s)
	if err != nil {
		errs = append(errs, fmt.Errorf("redisstore: URL %q: %w: use a form like redis://user:password@host:6379/0", u.Redacted(), err))
	}
	return options, errors.Join(errs...)
}

// withDefaults completes the options of a client that the store opens.
func withDefaults(o rueidis.ClientOption) rueidis.ClientOption {
	// A retry would hold the caller until its deadline, and in a Cluster the callers of healthy nodes with it.
	o.DisableRetry = true
	// Every hit would have to be checked against the marks all the same, which are on the server.
	o.DisableCache = true
	if o.Dialer.Timeout == 0 {
		o.Dialer.Timeout = dialTimeout
	}
	if o.ConnWriteTimeout == 0 {
		o.ConnWriteTimeout = writeTimeout
	}
	if o.Sentinel.MasterSet != "" && o.Sentinel.TopologyRefreshInterval == 0 {
		o.Sentinel.TopologyRefreshInterval = sentinelRefresh
	}
	return o
}

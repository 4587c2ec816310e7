package dynamostore

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/reprise-go/reprise/store"
)

// Config says which table a Store uses, and how.
type Config struct {
	_ [0]func()

	// Client reaches DynamoDB. It stays the caller's. Its retries are bounded by the deadline of each operation.
	// Required.
	Client *dynamodb.Client

	// Table is the name of the table. Required.
	Table string

	// KeyAttribute is the table's partition key, a string; the table has no sort key. "" is "pk".
	KeyAttribute string

	// TTLAttribute is the attribute by which DynamoDB removes what has expired. "" is "ttl".
	TTLAttribute string

	// Prefix begins every key, so that several stores can share a table: up to 40 letters, digits and the bytes
	// ".:_-". "" is "reprise".
	Prefix string

	// ConsistentRead makes reads of values strongly consistent, at twice the price: a Get sees every Set that
	// returned before. Marks and leases are always read so, and with them what GetMarked reads in the same request.
	ConsistentRead bool

	// MaxValueBytes is the length of the longest value that is kept; Set refuses a longer one with
	// [store.ErrTooLarge]. Each KiB costs a write unit. 0 is 4 MiB.
	MaxValueBytes int

	// Timeout bounds each operation, retries included, under whatever deadline the caller has. 0 is five seconds.
	Timeout time.Duration
}

// Attributes of items, besides the key and the TTL.
const (
	valueAttribute   = "v" // value or piece, binary
	expiresAttribute = "x" // Unix milliseconds at which the value or lease ends; absent: never
	cutAttribute     = "m" // manifest of a value that was cut, binary
	numberAttribute  = "n" // counter, slot or fence
	lifeAttribute    = "i" // incarnation
)

const maxPrefix = 40

// withDefaults returns cfg with the defaults in place, or every mistake in it.
func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("dynamostore: "+format, args...))
	}
	if cfg.Client == nil {
		bad("Client is nil; give that of dynamodb.NewFromConfig")
	}
	if cfg.Table == "" {
		bad("Table is empty; name one, which CreateTable makes if need be")
	}
	if cfg.KeyAttribute == "" {
		cfg.KeyAttribute = "pk"
	}
	if cfg.TTLAttribute == "" {
		cfg.TTLAttribute = "ttl"
	}
	own := []string{valueAttribute, expiresAttribute, cutAttribute, numberAttribute, lifeAttribute}
	if slices.Contains(own, cfg.KeyAttribute) {
		bad("KeyAttribute %q is one of the store's own, %q", cfg.KeyAttribute, own)
	}
	if slices.Contains(own, cfg.TTLAttribute) || cfg.TTLAttribute == cfg.KeyAttribute {
		bad("TTLAttribute %q is KeyAttribute or one of the store's own, %q", cfg.TTLAttribute, own)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "reprise"
	}
	if len(cfg.Prefix) > maxPrefix || !plain(cfg.Prefix, isPrefixByte) {
		bad("Prefix %q is not up to %d letters, digits and bytes of \".:_-\"", cfg.Prefix, maxPrefix)
	}
	if cfg.MaxValueBytes == 0 {
		cfg.MaxValueBytes = 4 << 20
	}
	if cfg.MaxValueBytes < 0 {
		bad("MaxValueBytes %d is negative; 0 is 4 MiB", cfg.MaxValueBytes)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Timeout < 0 {
		bad("Timeout %v is negative; 0 is 5s", cfg.Timeout)
	}
	return cfg, errors.Join(errs...)
}

func plain(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

func isPrefixByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == ':' || c == '_' || c == '-'
}

func isKeyByte(c byte) bool { return '!' <= c && c <= '~' }

// New returns a store in the table of cfg, which [CreateTable] makes. It sends nothing yet. There is nothing to close.
func New(cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Store{cfg: cfg}, nil
}

// Store keeps values in a table of DynamoDB. It is a [store.MultiGetter], a [store.Sequencer] and a [store.Locker];
// [Store.Scanning] is a [store.Lister] and a [store.Clearer] as well.
type Store struct {
	cfg  Config
	seen seen
}

var (
	_ store.MultiGetter = (*Store)(nil)
	_ store.Sequencer   = (*Store)(nil)
	_ store.Locker      = (*Store)(nil)
	_ store.Lister      = (*Scanning)(nil)
	_ store.Clearer     = (*Scanning)(nil)
)

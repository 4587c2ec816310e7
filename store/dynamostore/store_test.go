package dynamostore_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
	"github.com/reprise-go/reprise/store/storetest"
)

func client(addr string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String("http://" + addr), Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
}

var tables atomic.Int64

// newTable makes an empty table and returns the configuration for it.
func newTable(t testing.TB, addr string) dynamostore.Config {
	t.Helper()
	cfg := dynamostore.Config{Client: client(addr), Table: fmt.Sprintf("table%d", tables.Add(1)), Timeout: 30 * time.Second}
	if err := dynamostore.CreateTable(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func open(t testing.TB, cfg dynamostore.Config) *dynamostore.Store {
	t.Helper()
	s, err := dynamostore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	addr := realserver.DynamoDB(t)
	t.Run("defaults", func(t *testing.T) {
		cfg := newTable(t, addr)
		var opened int // the stores share a table
		storetest.Run(t, storetest.Config{
			MaxValue: 2 << 20,
			Open: func(t *testing.T) store.Store {
				opened++
				cfg.Prefix = fmt.Sprintf("p%d", opened)
				return open(t, cfg)
			},
			Reopen: func(t *testing.T, _ store.Store) store.Store { return open(t, cfg) },
		})
	})
	t.Run("scanning, consistent", func(t *testing.T) {
		var cfg dynamostore.Config
		storetest.Run(t, storetest.Config{
			Open: func(t *testing.T) store.Store {
				cfg = newTable(t, addr)
				cfg.ConsistentRead = true
				return open(t, cfg).Scanning()
			},
			Reopen: func(t *testing.T, _ store.Store) store.Store { return open(t, cfg).Scanning() },
		})
	})
}

func TestConfigMistakes(t *testing.T) {
	_, err := dynamostore.New(dynamostore.Config{KeyAttribute: "v", TTLAttribute: "v", Prefix: "a|b", MaxValueBytes: -1, Timeout: -1})
	for _, want := range []string{"Client", "Table", "KeyAttribute", "TTLAttribute", "Prefix", "MaxValueBytes", "Timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want it to name %s", err, want)
		}
	}
}

func TestCreateTable(t *testing.T) {
	ctx := t.Context()
	cfg := newTable(t, realserver.DynamoDB(t))
	if err := dynamostore.CreateTable(ctx, cfg); err != nil {
		t.Errorf("CreateTable of a table that is there = %v; want nil", err)
	}
	out, err := cfg.Client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &cfg.Table})
	if err != nil || out.TimeToLiveDescription.TimeToLiveStatus != types.TimeToLiveStatusEnabled || *out.TimeToLiveDescription.AttributeName != "ttl" {
		t.Errorf("TTL = %+v, %v; want it on, by ttl", out, err)
	}
	other := cfg
	other.KeyAttribute = "other"
	if err := dynamostore.CreateTable(ctx, other); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("CreateTable with another key = %v; want an error", err)
	}
	other = cfg
	other.TTLAttribute = "other"
	if err := dynamostore.CreateTable(ctx, other); err == nil || !strings.Contains(err.Error(), "expires by") {
		t.Errorf("CreateTable with another TTL attribute = %v; want an error", err)
	}
	named := cfg
	named.Table, named.KeyAttribute, named.TTLAttribute = "named", "id", "gone_at"
	if err := dynamostore.CreateTable(ctx, named); err != nil {
		t.Fatal(err)
	}
	s := open(t, named)
	if err := s.Set(ctx, "key", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(ctx, "key"); err != nil || string(got) != "v" {
		t.Errorf("Get = %q, %v; want v", got, err)
	}
}

// items returns the items of a table whose key begins with prefix, by key.
func items(t testing.TB, cfg dynamostore.Config, prefix string) map[string]map[string]types.AttributeValue {
	t.Helper()
	found := make(map[string]map[string]types.AttributeValue)
	pages := dynamodb.NewScanPaginator(cfg.Client, &dynamodb.ScanInput{TableName: &cfg.Table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			if key := it["pk"].(*types.AttributeValueMemberS).Value; strings.HasPrefix(key, prefix) {
				found[key] = it
			}
		}
	}
	return found
}

func put(t testing.TB, cfg dynamostore.Config, it map[string]types.AttributeValue) {
	t.Helper()
	if _, err := cfg.Client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &cfg.Table, Item: it}); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, cfg dynamostore.Config, key string) {
	t.Helper()
	_, err := cfg.Client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: &cfg.Table, Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: key}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPiecesAreRemoved: whatever takes the place of a value that was cut removes its pieces.
func TestPiecesAreRemoved(t *testing.T) {
	ctx := t.Context()
	cfg := newTable(t, realserver.DynamoDB(t))
	s := open(t, cfg)
	long := bytes.Repeat([]byte("0123456789"), 100<<10)
	pieces := (len(long) + 350<<10 - 1) / (350 << 10)
	fence, _, err := s.Lock(ctx, "name", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string]func() error{
		"short":  func() error { return s.Set(ctx, "key", []byte("short"), time.Hour) },
		"delete": func() error { _, err := s.Delete(ctx, "key"); return err },
		"locked": func() error {
			ok, err := s.SetLocked(ctx, "key", []byte("short"), time.Hour, "name", fence)
			if !ok {
				t.Error("SetLocked = false")
			}
			return err
		},
		"clear": func() error { _, err := s.Scanning().Clear(ctx, ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // the second takes the place of the first
				if err := s.Set(ctx, "key", long, store.Forever); err != nil {
					t.Fatal(err)
				}
				if n := len(items(t, cfg, "reprise+")); n != pieces {
					t.Errorf("%d pieces; want %d", n, pieces)
				}
			}
			if got, err := s.Get(ctx, "key"); err != nil || !bytes.Equal(got, long) {
				t.Fatalf("Get = %d bytes, %v; want %d", len(got), err, len(long))
			}
			if err := replace(); err != nil {
				t.Fatal(err)
			}
			if n := len(items(t, cfg, "reprise+")); n != 0 {
				t.Errorf("%d pieces are left", n)
			}
		})
	}
	if ok, err := s.SetLocked(ctx, "key", long, time.Hour, "name", fence+1); ok || err != nil {
		t.Errorf("SetLocked with another fence = %v, %v; want false", ok, err)
	}
	if n := len(items(t, cfg, "reprise+")); n != 0 {
		t.Errorf("%d pieces of a refused write are left", n)
	}
}

// TestHarm: an item that is not what the store wrote is a miss, and is overwritten.
func TestHarm(t *testing.T) {
	ctx := t.Context()
	cfg := newTable(t, realserver.DynamoDB(t))
	s := open(t, cfg)
	long := make([]byte, 1<<20)
	b := func(n int) types.AttributeValue { return &types.AttributeValueMemberB{Value: make([]byte, n)} }
	str := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	for name, harm := range map[string]func(){
		"piece lost": func() {
			for key := range items(t, cfg, "reprise+") {
				if strings.HasSuffix(key, ".1") {
					remove(t, cfg, key)
				}
			}
		},
		"piece changed": func() {
			for key, it := range items(t, cfg, "reprise+") {
				if strings.HasSuffix(key, ".1") {
					it["v"].(*types.AttributeValueMemberB).Value[7] ^= 1
					put(t, cfg, it)
				}
			}
		},
		"piece too long": func() {
			for key, it := range items(t, cfg, "reprise+") {
				if strings.HasSuffix(key, ".2") {
					it["v"] = b(351 << 10)
					put(t, cfg, it)
				}
			}
		},
		"manifest of zeros":  func() { put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise|key"), "m": b(29)}) },
		"manifest no binary": func() { put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise|key"), "m": str("x")}) },
		"value no binary":    func() { put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise|key"), "v": str("x")}) },
		"nothing":            func() { put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise|key")}) },
		"strange expiry": func() {
			put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise|key"), "v": b(1), "x": str("x")})
		},
		"expiry that is no whole number": func() {
			x := &types.AttributeValueMemberN{Value: "9999999999999.5"}
			put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise|key"), "v": b(1), "x": x})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Set(ctx, "key", long, time.Hour); err != nil {
				t.Fatal(err)
			}
			harm()
			if got, err := s.Get(ctx, "key"); !errors.Is(err, store.ErrNotFound) || got != nil {
				t.Errorf("Get = %d bytes, %v; want ErrNotFound", len(got), err)
			}
			if got, m, err := s.GetMarked(ctx, "key", "a"); !errors.Is(err, store.ErrNotFound) || got != nil || m.Incarnation == 0 {
				t.Errorf("GetMarked = %d bytes, %+v, %v; want marks and ErrNotFound", len(got), m, err)
			}
			if _, err := s.Delete(ctx, "key"); err != nil {
				t.Errorf("Delete = %v; want nil", err)
			}
			if err := s.Set(ctx, "key", []byte("good"), time.Hour); err != nil {
				t.Errorf("Set = %v; want nil", err)
			}
			if got, err := s.Get(ctx, "key"); err != nil || string(got) != "good" {
				t.Errorf("Get = %q, %v; want good", got, err)
			}
			if _, err := s.Delete(ctx, "key"); err != nil {
				t.Fatal(err)
			}
			for key := range items(t, cfg, "reprise+") {
				remove(t, cfg, key)
			}
		})
	}
}

// TestManyLarge needs more than one answer of BatchGetItem, each of 16 MB at most.
func TestManyLarge(t *testing.T) {
	ctx := t.Context()
	s := open(t, newTable(t, realserver.DynamoDB(t)))
	var keys []string
	for i := range 60 {
		keys = append(keys, fmt.Sprintf("key%d", i))
		if err := s.Set(ctx, keys[i], bytes.Repeat([]byte{byte(i)}, 340<<10), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.GetMulti(ctx, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range got {
		if len(value) != 340<<10 || value[0] != byte(i) {
			t.Errorf("value %d has %d bytes", i, len(value))
		}
	}
}

// TestSequenceLoss takes away what the sequence is made of.
func TestSequenceLoss(t *testing.T) {
	ctx := t.Context()
	addr := realserver.DynamoDB(t)
	n := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	str := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	for name, tt := range map[string]struct {
		lose    func(cfg dynamostore.Config)
		newLife bool
	}{
		"counter removed": {func(cfg dynamostore.Config) { remove(t, cfg, "reprise!") }, true},
		"counter garbage": {func(cfg dynamostore.Config) {
			put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise!"), "i": str("x"), "n": str("y")})
		}, true},
		"life 0": {func(cfg dynamostore.Config) {
			put(t, cfg, map[string]types.AttributeValue{"pk": str("reprise!"), "i": n("0"), "n": n("5")})
		}, true},
		"slots garbage": {func(cfg dynamostore.Config) {
			for key := range items(t, cfg, "reprise!") {
				if key != "reprise!" {
					put(t, cfg, map[string]types.AttributeValue{"pk": str(key), "n": str("x")})
				}
			}
		}, false},
	} {
		for _, first := range []string{"Marks", "Raise"} {
			t.Run(name+"/"+first, func(t *testing.T) {
				cfg := newTable(t, addr)
				s, peer := open(t, cfg), open(t, cfg)
				raised, err := s.Raise(ctx, "a")
				if err != nil {
					t.Fatal(err)
				}
				before, err := peer.Marks(ctx, "b")
				if err != nil {
					t.Fatal(err)
				}
				tt.lose(cfg)
				if first == "Raise" {
					if _, err := s.Raise(ctx, "other"); err != nil {
						t.Fatalf("Raise = %v", err)
					}
				}
				var all []store.Marks
				for _, s := range []*dynamostore.Store{s, peer, open(t, cfg)} {
					after, err := s.Marks(ctx, "a", "b")
					if err != nil {
						t.Fatalf("Marks = %v", err)
					}
					all = append(all, after)
					if (after.Incarnation != before.Incarnation) != tt.newLife {
						t.Errorf("incarnation %d, before %d; want another: %v", after.Incarnation, before.Incarnation, tt.newLife)
					}
					if !tt.newLife && after.Slots[0] < raised {
						t.Errorf("the slot was raised to %d and is %d", raised, after.Slots[0])
					}
				}
				for _, m := range all[1:] {
					if m.Incarnation != all[0].Incarnation || m.Newest != all[0].Newest || !slices.Equal(m.Slots, all[0].Slots) {
						t.Errorf("three processes read %+v", all)
					}
				}
			})
		}
	}
}

// TestScanOfPages: the server lists 1 MB at a time.
func TestScanOfPages(t *testing.T) {
	ctx := t.Context()
	s := open(t, newTable(t, realserver.DynamoDB(t))).Scanning()
	const large = 6
	for i := range large {
		if err := s.Set(ctx, fmt.Sprint("key", i), make([]byte, 300<<10), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, err := range s.Keys(ctx, "key") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != large {
		t.Errorf("Keys yields %d; want %d", n, large)
	}
	if n, err := s.Clear(ctx, "key"); n != large || err != nil {
		t.Errorf("Clear = %d, %v; want %d", n, err, large)
	}
}

// TestRaiseInAnotherLife: a process that has slept through a loss finds the number as it was, and raises where others look.
func TestRaiseInAnotherLife(t *testing.T) {
	ctx := t.Context()
	cfg := newTable(t, realserver.DynamoDB(t))
	s, peer := open(t, cfg), open(t, cfg)
	before, err := s.Raise(ctx, "name")
	if err != nil {
		t.Fatal(err)
	}
	remove(t, cfg, "reprise!")
	if n, err := peer.Raise(ctx, "another"); n != before || err != nil {
		t.Fatalf("the first Raise of a life = %d, %v; want %d", n, err, before)
	}
	n, err := s.Raise(ctx, "name")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := peer.Marks(ctx, "name"); err != nil || m.Newest != n || m.Slots[0] != n {
		t.Errorf("Marks = %+v, %v after Raise = %d; want it there", m, err, n)
	}
}

// TestSequenceAmongProcesses: whoever has raised finds it raised, whatever another process remembers.
func TestSequenceAmongProcesses(t *testing.T) {
	cfg := newTable(t, realserver.DynamoDB(t))
	names := make([]string, 120) // more than a transaction takes
	for i := range names {
		names[i] = fmt.Sprintf("name%d", i)
	}
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	done := make(chan struct{})
	const workers = 4
	for w := range workers {
		s, peer := open(t, cfg), open(t, cfg)
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range rounds {
				mine := names[(w*7+i)%100 : (w*7+i)%100+3]
				if i%10 == 9 {
					mine = names
				}
				// peer remembers what it reads here.
				if _, err := peer.Marks(t.Context(), mine...); err != nil {
					t.Errorf("Marks = %v", err)
				}
				n, err := s.Raise(t.Context(), mine...)
				if err != nil {
					t.Errorf("Raise = %v", err)
					return
				}
				m, err := peer.Marks(t.Context(), mine...)
				if err != nil || m.Newest < n {
					t.Errorf("Marks = %+v, %v after Raise = %d", m, err, n)
					return
				}
				for i, slot := range m.Slots {
					if slot < n {
						t.Errorf("slot of %s = %d after it was raised to %d", mine[i], slot, n)
					}
				}
			}
		}()
	}
	for range workers {
		<-done
	}
}

// TestReads counts requests: a look-up is one while nothing is invalidated.
func TestReads(t *testing.T) {
	ctx := t.Context()
	cfg := newTable(t, realserver.DynamoDB(t))
	var requests atomic.Int64
	counting := cfg
	counting.Client = dynamodb.New(cfg.Client.Options(), func(o *dynamodb.Options) {
		next := o.HTTPClient
		o.HTTPClient = doer(func(r *request) (*response, error) { requests.Add(1); return next.Do(r) })
	})
	s, peer := open(t, counting), open(t, cfg)
	count := func(what string, want int64, call func() error) {
		t.Helper()
		requests.Store(0)
		if err := call(); err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s = %v", what, err)
		}
		if got := requests.Load(); got != want {
			t.Errorf("%s took %d requests; want %d", what, got, want)
		}
	}
	marked := func(names ...string) func() error {
		return func() error { _, _, err := s.GetMarked(ctx, "key", names...); return err }
	}
	if err := marked("a")(); !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	count("GetMarked", 1, marked("a"))
	count("GetMarked of other names", 1, marked("a", "b", "c"))
	count("GetMarked of those", 1, marked("c", "b", "a"))
	if _, err := peer.Raise(ctx, "elsewhere"); err != nil {
		t.Fatal(err)
	}
	count("GetMarked after an invalidation", 2, marked("a", "b"))
	count("GetMarked again", 1, marked("a", "b"))
	count("Raise", 1, func() error { _, err := s.Raise(ctx, "a", "b"); return err })
	if _, err := peer.Raise(ctx, "elsewhere"); err != nil {
		t.Fatal(err)
	}
	count("Raise after another's", 2, func() error { _, err := s.Raise(ctx, "a", "b"); return err })
	count("Set", 1, func() error { return s.Set(ctx, "key", []byte("v"), time.Hour) })
	count("Get", 1, func() error { _, err := s.Get(ctx, "key"); return err })
	count("GetMulti", 1, func() error { _, err := s.GetMulti(ctx, []string{"key", "a", "b"}); return err })
	count("Delete", 1, func() error { _, err := s.Delete(ctx, "key"); return err })
	count("Lock", 1, func() error { _, _, err := s.Lock(ctx, "name", time.Hour); return err })
}

// TestFenceAfterLoss: fences grow also when the item of a lease was removed.
func TestFenceAfterLoss(t *testing.T) {
	ctx := t.Context()
	cfg := newTable(t, realserver.DynamoDB(t))
	s := open(t, cfg)
	f1, _, err := s.Lock(ctx, "name", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, cfg, "reprise=name")
	if ok, err := s.SetLocked(ctx, "key", []byte("v"), time.Hour, "name", f1); ok || err != nil {
		t.Errorf("SetLocked under a lost lease = %v, %v; want false", ok, err)
	}
	f2, ok, err := s.Lock(ctx, "name", time.Hour)
	if !ok || err != nil || f2 <= f1 {
		t.Errorf("Lock = %d, %v, %v; want a fence above %d", f2, ok, err, f1)
	}
}

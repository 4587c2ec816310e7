package dynamostore_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
)

// watched returns cfg with a client that shows seen the operation and the body of each request. What seen returns is the answer;
// nil leaves that to the server.
func watched(cfg dynamostore.Config, seen func(operation string, body []byte) *response) dynamostore.Config {
	cfg.Client = dynamodb.New(cfg.Client.Options(), func(o *dynamodb.Options) {
		next := o.HTTPClient
		o.HTTPClient = doer(func(r *request) (*response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
			if answer := seen(operation, body); answer != nil {
				return answer, nil
			}
			return next.Do(r)
		})
	})
	return cfg
}

// TestConsistentReads: values are read as the Config says; marks, and the pieces that a manifest names, always consistently.
func TestConsistentReads(t *testing.T) {
	ctx := t.Context()
	cfg := newTable(t, realserver.DynamoDB(t))
	for _, consistent := range []bool{false, true} {
		cfg.ConsistentRead = consistent
		reads := make(map[string][]bool)
		s := open(t, watched(cfg, func(operation string, body []byte) *response {
			if operation == "GetItem" || operation == "BatchGetItem" {
				reads[operation] = append(reads[operation], bytes.Contains(body, []byte(`"ConsistentRead":true`)))
			}
			return nil
		}))
		if err := s.Set(ctx, "cut", make([]byte, 500<<10), time.Hour); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name        string
			call        func() error
			items, many []bool // whether the requests for one item, and for many, were consistent
		}{
			{"Get", func() error { _, err := s.Get(ctx, "key"); return err }, []bool{consistent}, nil},
			{"Get of pieces", func() error { _, err := s.Get(ctx, "cut"); return err }, []bool{consistent}, []bool{true}},
			{"GetMulti", func() error { _, err := s.GetMulti(ctx, []string{"a", "b"}); return err }, nil, []bool{consistent}},
			{"Marks", func() error { _, err := s.Marks(ctx, "name"); return err }, nil, nil},
			{"GetMarked", func() error { _, _, err := s.GetMarked(ctx, "key", "name"); return err }, nil, []bool{true}},
		} {
			clear(reads)
			if err := tt.call(); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s = %v", tt.name, err)
			}
			if tt.name == "Marks" { // the first reading of numbers takes a few requests
				tt.many = slices.Repeat([]bool{true}, len(reads["BatchGetItem"]))
			}
			if !slices.Equal(reads["GetItem"], tt.items) || !slices.Equal(reads["BatchGetItem"], tt.many) {
				t.Errorf("ConsistentRead %v: %s reads %v; want %v and %v", consistent, tt.name, reads, tt.items, tt.many)
			}
		}
	}
}

// TestUnprocessedWrites: what the server did not come to write is written after all.
func TestUnprocessedWrites(t *testing.T) {
	refused := 0
	s := open(t, watched(newTable(t, realserver.DynamoDB(t)), func(operation string, body []byte) *response {
		if operation != "BatchWriteItem" || refused == 2 {
			return nil
		}
		refused++
		var asked struct{ RequestItems json.RawMessage }
		if err := json.Unmarshal(body, &asked); err != nil {
			t.Error(err)
		}
		answer := append(append([]byte(`{"UnprocessedItems":`), asked.RequestItems...), '}')
		return &response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			Body: io.NopCloser(bytes.NewReader(answer)),
		}
	}))
	want := bytes.Repeat([]byte("piece"), 200<<10)
	if err := s.Set(t.Context(), "key", want, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "key"); err != nil || !bytes.Equal(got, want) || refused != 2 {
		t.Errorf("Get = %d bytes, %v after %d refusals; want all that was set, after 2", len(got), err, refused)
	}
}

// TestBoundlessManifest: nobody looks for the pieces of what is larger than any value.
func TestBoundlessManifest(t *testing.T) {
	cfg := newTable(t, realserver.DynamoDB(t))
	manifest := append([]byte{1}, make([]byte, 16)...)
	manifest = append(binary.LittleEndian.AppendUint64(manifest, math.MaxInt32), 0, 0, 0, 0)
	put(t, cfg, map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "reprise|key"}, "m": &types.AttributeValueMemberB{Value: manifest},
	})
	s := open(t, watched(cfg, func(operation string, _ []byte) *response {
		if operation != "GetItem" {
			t.Errorf("it sends %s", operation)
		}
		return nil
	}))
	if b, err := s.Get(t.Context(), "key"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %d bytes, %v; want ErrNotFound", len(b), err)
	}
}

package dynamostore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/reprise-go/reprise/store"
)

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	it, err := s.readOne(ctx, s.dataKey(key))
	if err != nil {
		return nil, wrap(ctx, "get", err)
	}
	value, err := s.value(ctx, it)
	return value, wrap(ctx, "get", err)
}

func (s *Store) readOne(ctx context.Context, pk string) (item, error) {
	out, err := s.cfg.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(s.cfg.Table), Key: s.keyOf(pk), ConsistentRead: aws.Bool(s.cfg.ConsistentRead),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// value returns the value that an item stands for. DynamoDB removes what has expired within days; until then it is
// still returned.
func (s *Store) value(ctx context.Context, it item) ([]byte, error) {
	if it == nil || expired(it, time.Now()) {
		return nil, store.ErrNotFound
	}
	if v, ok := it[valueAttribute].(*types.AttributeValueMemberB); ok {
		if v.Value == nil {
			return []byte{}, nil
		}
		return v.Value, nil
	}
	m, ok := manifestOf(it)
	if !ok || m.size > s.cfg.MaxValueBytes {
		return nil, store.ErrNotFound
	}
	keys := s.pieceKeys(m)
	// A piece was written before its manifest, but an inconsistent read may see the manifest first.
	found, err := s.read(ctx, true, keys...)
	if err != nil {
		return nil, err
	}
	pieces := make([][]byte, len(keys))
	for i, key := range keys {
		if v, ok := found[key][valueAttribute].(*types.AttributeValueMemberB); ok {
			pieces[i] = v.Value
		}
	}
	value, whole := m.join(pieces)
	if !whole {
		return nil, fmt.Errorf("%w: a piece of the value is gone", store.ErrNotFound)
	}
	return value, nil
}

func manifestOf(it item) (manifest, bool) {
	b, ok := it[cutAttribute].(*types.AttributeValueMemberB)
	if !ok {
		return manifest{}, false
	}
	return decodeManifest(b.Value)
}

// GetMulti implements [store.MultiGetter]: a round trip for each hundred keys or 16 MB, and more for values that were
// cut.
func (s *Store) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, "get multi", err)
	}
	pks, unique := make([]string, len(keys)), make([]string, 0, len(keys))
	known := make(map[string]bool, len(keys))
	for i, key := range keys {
		pks[i] = s.dataKey(key)
		if !known[pks[i]] { // DynamoDB refuses a key that stands twice
			known[pks[i]] = true
			unique = append(unique, pks[i])
		}
	}
	found, err := s.read(ctx, s.cfg.ConsistentRead, unique...)
	if err != nil {
		return nil, wrap(ctx, "get multi", err)
	}
	values := make([][]byte, len(keys))
	for i, pk := range pks {
		if values[i], err = s.value(ctx, found[pk]); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, wrap(ctx, "get multi", err)
		}
	}
	return values, nil
}

// Set implements [store.Store].
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	it, err := s.prepare(ctx, key, value, ttl)
	if err != nil {
		return wrap(ctx, "set", err)
	}
	var replaced *manifest
	for tries := 0; ; tries++ {
		if err := wait(ctx, tries); err != nil {
			return wrap(ctx, "set", err)
		}
		put := s.put(it, replaced)
		_, err := s.cfg.Client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
			ExpressionAttributeNames: put.ExpressionAttributeNames, ExpressionAttributeValues: put.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: put.ReturnValuesOnConditionCheckFailure,
		})
		old, isRefused := refused(err)
		if !isRefused {
			if err == nil {
				s.removePieces(ctx, replaced)
			}
			return wrap(ctx, "set", err)
		}
		replaced = replacing(old)
	}
}

// prepare returns the item of a value, after it has stored the pieces if there are any.
func (s *Store) prepare(ctx context.Context, key string, value []byte, ttl time.Duration) (item, error) {
	if len(value) > s.cfg.MaxValueBytes {
		return nil, fmt.Errorf("%w: %d bytes", store.ErrTooLarge, len(value))
	}
	now := time.Now()
	it, err := s.until(now, ttl)
	if err != nil {
		return nil, err
	}
	it[s.cfg.KeyAttribute] = text(s.dataKey(key))
	if len(value) <= pieceBytes {
		if value == nil {
			value = []byte{} // DynamoDB keeps an empty binary, but not none
		}
		it[valueAttribute] = blob(value)
		return it, nil
	}
	m := manifest{size: len(value), sum: checksum(value)}
	_, _ = rand.Read(m.write[:]) // it never fails
	var puts []types.WriteRequest
	for _, pk := range s.pieceKeys(m) {
		piece, err := s.until(now, ttl)
		if err != nil {
			return nil, err
		}
		n := min(len(value), pieceBytes)
		piece[s.cfg.KeyAttribute], piece[valueAttribute] = text(pk), blob(value[:n])
		value = value[n:]
		puts = append(puts, types.WriteRequest{PutRequest: &types.PutRequest{Item: piece}})
	}
	if err := s.write(ctx, puts); err != nil {
		return nil, err
	}
	it[cutAttribute] = blob(m.encode())
	return it, nil
}

// put returns the write of it, on the condition that it replaces no manifest but replaced: the pieces of one that was
// replaced unseen would stay for ever. So a value that was cut is replaced at the second try. The zero manifest is one
// that cannot be read, whose pieces are lost anyway.
func (s *Store) put(it item, replaced *manifest) *types.Put {
	p := &types.Put{
		TableName: aws.String(s.cfg.Table), Item: it,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	switch {
	case replaced == nil:
		p.ConditionExpression = aws.String("attribute_not_exists(#m)")
		p.ExpressionAttributeNames = map[string]string{"#m": cutAttribute}
	case *replaced != manifest{}:
		p.ConditionExpression = aws.String("attribute_not_exists(#m) OR #m = :m")
		p.ExpressionAttributeNames = map[string]string{"#m": cutAttribute}
		p.ExpressionAttributeValues = item{":m": blob(replaced.encode())}
	}
	return p
}

// replacing returns the manifest of an item that is to be replaced.
func replacing(old item) *manifest {
	m, _ := manifestOf(old)
	return &m
}

// removePieces removes the pieces of a manifest that is gone. It is done as well as can be: DynamoDB removes in time what
// stays, unless the value was kept for ever.
func (s *Store) removePieces(ctx context.Context, m *manifest) {
	if m != nil && m.size > 0 {
		_ = s.remove(ctx, s.pieceKeys(*m))
	}
}

// Delete implements [store.Store], with a request for each key, several at a time: only single removals tell whether
// there was something.
func (s *Store) Delete(ctx context.Context, keys ...string) (int, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return 0, wrap(ctx, "delete", err)
	}
	var removed atomic.Int64
	err := inParallel(keys, func(key string) error {
		ok, err := s.deleteOne(ctx, s.dataKey(key))
		if ok {
			removed.Add(1)
		}
		return err
	})
	return int(removed.Load()), wrap(ctx, "delete", err)
}

func (s *Store) deleteOne(ctx context.Context, pk string) (bool, error) {
	var found *manifest
	for tries := 0; ; tries++ {
		if err := wait(ctx, tries); err != nil {
			return false, err
		}
		in := &dynamodb.DeleteItemInput{
			TableName: aws.String(s.cfg.Table), Key: s.keyOf(pk),
			ConditionExpression:                 aws.String("attribute_exists(#v) AND (attribute_not_exists(#x) OR #x > :now)"),
			ExpressionAttributeNames:            map[string]string{"#v": valueAttribute, "#x": expiresAttribute},
			ExpressionAttributeValues:           item{":now": number(time.Now().UnixMilli())},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}
		if found != nil {
			in.ConditionExpression = aws.String("#m = :m")
			in.ExpressionAttributeNames = map[string]string{"#m": cutAttribute}
			in.ExpressionAttributeValues = item{":m": blob(found.encode())}
		}
		_, err := s.cfg.Client.DeleteItem(ctx, in)
		old, isRefused := refused(err)
		switch {
		case err == nil:
			s.removePieces(ctx, found)
			return true, nil
		case !isRefused:
			return false, err
		case len(old) == 0, expired(old, time.Now()):
			return false, nil
		}
		found = nil
		if m, ok := manifestOf(old); ok {
			found = &m
		} else if _, ok := old[valueAttribute]; !ok {
			return false, nil // no value of ours
		}
	}
}

// inParallel calls do for each key, a few at a time. The goroutines end with their calls.
func inParallel(keys []string, do func(string) error) error {
	if len(keys) == 1 {
		return do(keys[0])
	}
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	next := make(chan string)
	for range min(atOnce, len(keys)) {
		wg.Go(func() {
			for key := range next {
				if err := do(key); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
	if len(errs) == 0 {
		return nil
	}
	return errs[0] // the others are of the same kind, and one for each key
}

package dynamostore

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A lease is one item with its fence and the moment at which it ends, by the clocks of the processes: where these
// differ, a lease is taken that much too early or too late. What is written under a lease does not depend on clocks:
// each lease of a name has a larger fence than the one before, and SetLocked asks for the fence of the last.
//
// The item outlives the lease by a day, at least. When DynamoDB has removed it, fences go on from the time in
// microseconds, which is larger than all before, as long as no name is leased more than a million times a second.

const retained = 24 * time.Hour

// maxLease keeps the moments of a lease within what DynamoDB accepts.
const maxLease = 10 * 365 * 24 * time.Hour

func (s *Store) leaseMoments(ttl time.Duration, now time.Time) (item, error) {
	if ttl <= 0 || ttl > maxLease {
		return nil, fmt.Errorf("ttl %v of a lease is not between 0 and %v", ttl, maxLease)
	}
	it, err := s.until(now, ttl)
	if err != nil {
		return nil, err
	}
	return item{":until": it[expiresAttribute], ":ttl": number(now.Add(ttl + retained).Unix()), ":now": number(now.UnixMilli())}, nil
}

func (s *Store) leaseNames() map[string]string {
	return map[string]string{"#n": numberAttribute, "#x": expiresAttribute, "#ttl": s.cfg.TTLAttribute}
}

// Lock implements [store.Locker]. The ttl is at most ten years.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (fence uint64, ok bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	now := time.Now()
	values, err := s.leaseMoments(ttl, now)
	if err != nil {
		return 0, false, wrap(ctx, "lock", err)
	}
	values[":first"], values[":1"] = number(now.UnixMicro()), number(1)
	out, err := s.cfg.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String(s.cfg.Table), Key: s.keyOf(s.leaseKey(name)),
		UpdateExpression:         aws.String("SET #n = if_not_exists(#n, :first) + :1, #x = :until, #ttl = :ttl"),
		ConditionExpression:      aws.String("attribute_not_exists(#x) OR #x <= :now"),
		ExpressionAttributeNames: s.leaseNames(), ExpressionAttributeValues: values,
		ReturnValues: types.ReturnValueUpdatedNew,
	})
	if _, held := refused(err); held {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, wrap(ctx, "lock", err)
	}
	if fence, ok = unsignedOf(out.Attributes[numberAttribute]); !ok {
		return 0, false, wrap(ctx, "lock", fmt.Errorf("the fence of %q is no number", name))
	}
	return fence, true, nil
}

// Renew implements [store.Locker].
func (s *Store) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (bool, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	values, err := s.leaseMoments(ttl, time.Now())
	if err != nil {
		return false, wrap(ctx, "renew", err)
	}
	ok, err := s.change(ctx, name, fence, values)
	return ok, wrap(ctx, "renew", err)
}

// Unlock implements [store.Locker].
func (s *Store) Unlock(ctx context.Context, name string, fence uint64) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	now := time.Now()
	_, err := s.change(ctx, name, fence, item{
		":until": number(now.UnixMilli()), ":ttl": number(now.Add(retained).Unix()), ":now": number(now.UnixMilli()),
	})
	return wrap(ctx, "unlock", err)
}

// change moves the end of a lease if fence holds it.
func (s *Store) change(ctx context.Context, name string, fence uint64, values item) (bool, error) {
	values[":fence"] = unsigned(fence)
	_, err := s.cfg.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String(s.cfg.Table), Key: s.keyOf(s.leaseKey(name)),
		UpdateExpression:         aws.String("SET #x = :until, #ttl = :ttl"),
		ConditionExpression:      aws.String("#n = :fence AND #x > :now"),
		ExpressionAttributeNames: s.leaseNames(), ExpressionAttributeValues: values,
	})
	if _, another := refused(err); another {
		return false, nil
	}
	return err == nil, err
}

// SetLocked implements [store.Locker], by a transaction.
func (s *Store) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64) (bool, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	ok, err := s.setLocked(ctx, key, value, ttl, name, fence)
	return ok, wrap(ctx, "set locked", err)
}

func (s *Store) setLocked(ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64) (bool, error) {
	it, err := s.prepare(ctx, key, value, ttl)
	if err != nil {
		return false, err
	}
	last := &types.ConditionCheck{
		TableName: aws.String(s.cfg.Table), Key: s.keyOf(s.leaseKey(name)),
		ConditionExpression:       aws.String("#n = :fence"),
		ExpressionAttributeNames:  map[string]string{"#n": numberAttribute},
		ExpressionAttributeValues: item{":fence": unsigned(fence)},
	}
	var replaced *manifest
	for tries := 0; ; tries++ {
		if err := wait(ctx, tries); err != nil {
			return false, err
		}
		_, err := s.cfg.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			TransactItems: []types.TransactWriteItem{{ConditionCheck: last}, {Put: s.put(it, replaced)}},
		})
		reasons := cancelled(err)
		switch {
		case err == nil:
			s.removePieces(ctx, replaced)
			return true, nil
		case len(reasons) != 2:
			return false, err
		case aws.ToString(reasons[0].Code) == conditionFailed:
			if m, ok := manifestOf(it); ok {
				s.removePieces(ctx, &m)
			}
			return false, nil
		case aws.ToString(reasons[1].Code) == conditionFailed:
			replaced = replacing(reasons[1].Item)
		case !passing(reasons):
			return false, err
		}
	}
}

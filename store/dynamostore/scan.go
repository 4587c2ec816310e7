package dynamostore

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Scanning is a Store that can also list and clear. DynamoDB has no index of keys for that: each call reads the whole
// table, everything in it, and costs what reading that costs: for 10 GiB, 1.3 million read units.
type Scanning struct{ *Store }

// Scanning returns s with Keys and Clear.
func (s *Store) Scanning() *Scanning { return &Scanning{s} }

// Keys implements [store.Lister]. The time of the whole listing is bounded by ctx alone.
func (s *Scanning) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for it, err := range s.scan(ctx, prefix, expiresAttribute) {
			if err != nil {
				yield("", wrap(ctx, "keys", err))
				return
			}
			if expired(it, time.Now()) {
				continue
			}
			if !yield(strings.TrimPrefix(s.pkOf(it), s.cfg.Prefix+plainMark), nil) {
				return
			}
		}
	}
}

// Clear implements [store.Clearer]. It removes values, and neither marks nor leases. The time is bounded by ctx alone.
func (s *Scanning) Clear(ctx context.Context, prefix string) (int, error) {
	n := 0
	var batch []string
	flush := func() error {
		removed, err := s.Delete(ctx, batch...)
		n += removed
		batch = batch[:0]
		return err
	}
	for it, err := range s.scan(ctx, prefix) {
		if err != nil {
			return n, wrap(ctx, "clear", err)
		}
		if batch = append(batch, strings.TrimPrefix(s.pkOf(it), s.cfg.Prefix+plainMark)); len(batch) == writesPerBatch {
			if err := flush(); err != nil {
				return n, err
			}
		}
	}
	return n, flush()
}

// scan yields the items of values whose keys begin with prefix, with their keys and the attributes named.
func (s *Store) scan(ctx context.Context, prefix string, attributes ...string) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		in := &dynamodb.ScanInput{
			TableName: aws.String(s.cfg.Table), ConsistentRead: aws.Bool(true),
			FilterExpression:          aws.String("begins_with(#k, :prefix)"),
			ProjectionExpression:      aws.String("#k"),
			ExpressionAttributeNames:  map[string]string{"#k": s.cfg.KeyAttribute},
			ExpressionAttributeValues: map[string]types.AttributeValue{":prefix": text(s.cfg.Prefix + plainMark + prefix)},
		}
		for _, name := range attributes {
			in.ProjectionExpression = aws.String(*in.ProjectionExpression + ", #" + name)
			in.ExpressionAttributeNames["#"+name] = name
		}
		for {
			out, err := s.cfg.Client.Scan(ctx, in)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, it := range out.Items {
				if !yield(it, nil) {
					return
				}
			}
			if len(out.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}

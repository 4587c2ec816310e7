package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// What DynamoDB takes in one request.
const (
	getsPerBatch   = 100
	writesPerBatch = 25
	perTransaction = 100
)

// atOnce is how many requests one operation has under way.
const atOnce = 8

// read returns the items at the partition keys, those that are there, in no order. The keys differ.
func (s *Store) read(ctx context.Context, consistent bool, keys ...string) (map[string]item, error) {
	found := make(map[string]item, len(keys))
	for len(keys) > 0 {
		n := min(len(keys), getsPerBatch)
		request := types.KeysAndAttributes{ConsistentRead: aws.Bool(consistent)}
		for _, key := range keys[:n] {
			request.Keys = append(request.Keys, s.keyOf(key))
		}
		keys = keys[n:]
		for tries := 0; len(request.Keys) > 0; tries++ {
			if err := wait(ctx, tries); err != nil {
				return nil, err
			}
			out, err := s.cfg.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
				RequestItems: map[string]types.KeysAndAttributes{s.cfg.Table: request},
			})
			if err != nil {
				return nil, err
			}
			for _, it := range out.Responses[s.cfg.Table] {
				found[s.pkOf(it)] = it
			}
			left := out.UnprocessedKeys[s.cfg.Table].Keys
			if len(left) < len(request.Keys) {
				tries = -1 // it goes on: an answer is full at 16 MB
			}
			request.Keys = left
		}
	}
	return found, nil
}

// write executes puts and removals, in no order, each of another item.
func (s *Store) write(ctx context.Context, requests []types.WriteRequest) error {
	for len(requests) > 0 {
		n := min(len(requests), writesPerBatch)
		batch := requests[:n]
		requests = requests[n:]
		for tries := 0; len(batch) > 0; tries++ {
			if err := wait(ctx, tries); err != nil {
				return err
			}
			out, err := s.cfg.Client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
				RequestItems: map[string][]types.WriteRequest{s.cfg.Table: batch},
			})
			if err != nil {
				return err
			}
			batch = out.UnprocessedItems[s.cfg.Table]
		}
	}
	return nil
}

// remove removes the items at the partition keys, which differ.
func (s *Store) remove(ctx context.Context, keys []string) error {
	requests := make([]types.WriteRequest, len(keys))
	for i, key := range keys {
		requests[i].DeleteRequest = &types.DeleteRequest{Key: s.keyOf(key)}
	}
	return s.write(ctx, requests)
}

// wait waits before another try, longer each time and never as long as another client, or until ctx ends. Before the
// first it does not wait.
func wait(ctx context.Context, tries int) error {
	if tries == 0 {
		return ctx.Err()
	}
	const first, most = 4 * time.Millisecond, time.Second
	timer := time.NewTimer(1 + rand.N(min(first<<min(tries, 10), most))) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// refused reports whether err says that the condition of a single write failed, and returns the item that it failed on.
func refused(err error) (old item, ok bool) {
	var failed *types.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		return nil, false
	}
	return failed.Item, true
}

// cancelled returns the reasons for which err says that a transaction was cancelled, one for each of its parts.
func cancelled(err error) []types.CancellationReason {
	var failed *types.TransactionCanceledException
	if !errors.As(err, &failed) {
		return nil
	}
	return failed.CancellationReasons
}

// Why a part of a transaction failed.
const (
	conditionFailed = "ConditionalCheckFailed"
	notReached      = "None" // another part failed
)

// passing reports whether another try may succeed: others had the same items in their hands, or there were too many.
func passing(reasons []types.CancellationReason) bool {
	for _, r := range reasons {
		switch aws.ToString(r.Code) {
		case notReached, "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
		default:
			return false
		}
	}
	return len(reasons) > 0
}

// limit returns ctx with the store's own timeout.
func (s *Store) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.Timeout)
}

// wrap names the operation in an error, once, and makes one that was caused by the end of ctx match it.
func wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil && !errors.Is(err, ctxErr) {
		err = fmt.Errorf("%w: %w", ctxErr, err)
	}
	return fmt.Errorf("dynamostore: %s: %w", op, err)
}

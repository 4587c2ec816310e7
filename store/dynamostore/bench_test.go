package dynamostore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/reprise-go/reprise/internal/realserver"
)

// BenchmarkHit compares look-ups with the client's own GetItem. The server is DynamoDB Local: only ratios tell anything.
func BenchmarkHit(b *testing.B) {
	cfg := newTable(b, realserver.DynamoDB(b))
	s := open(b, cfg)
	ctx := b.Context()
	names := []string{"base", "host", "path", "namespace"}
	for _, size := range []int{1 << 10, 64 << 10} {
		key := fmt.Sprintf("key%d", size)
		if err := s.Set(ctx, key, make([]byte, size), time.Hour); err != nil {
			b.Fatal(err)
		}
		for _, bm := range []struct {
			name string
			call func() error
		}{
			{"GetItem", func() error {
				_, err := cfg.Client.GetItem(ctx, &dynamodb.GetItemInput{
					TableName: &cfg.Table, ConsistentRead: aws.Bool(true),
					Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "reprise|" + key}},
				})
				return err
			}},
			{"Get", func() error { _, err := s.Get(ctx, key); return err }},
			{"GetMarked", func() error { _, _, err := s.GetMarked(ctx, key, names...); return err }},
		} {
			b.Run(fmt.Sprintf("%s/%dKiB", bm.name, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := bm.call(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

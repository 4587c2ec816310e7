package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// tableTimeout bounds CreateTable under a context without deadline.
const tableTimeout = 5 * time.Minute

// CreateTable makes the table that cfg names, billed by request, waits until it can be used, and has DynamoDB remove
// what has expired. A table that is there already is kept, if its key is the one that cfg names, and gets the removal.
// The store itself needs none of the rights that this takes.
func CreateTable(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	_, err = cfg.Client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String(cfg.Table), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(cfg.KeyAttribute), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(cfg.KeyAttribute), KeyType: types.KeyTypeHash}},
	})
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return wrap(ctx, "create table", err)
	}
	out, err := dynamodb.NewTableExistsWaiter(cfg.Client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 5*time.Second
	}).WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(cfg.Table)}, tableTimeout)
	if err != nil {
		return wrap(ctx, "create table", err)
	}
	if key := out.Table.KeySchema; len(key) != 1 || aws.ToString(key[0].AttributeName) != cfg.KeyAttribute {
		return wrap(ctx, "create table", fmt.Errorf("table %q has another key than %q alone", cfg.Table, cfg.KeyAttribute))
	}
	return wrap(ctx, "create table", enableTTL(ctx, cfg))
}

func enableTTL(ctx context.Context, cfg Config) error {
	out, err := cfg.Client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String(cfg.Table)})
	if err != nil {
		return err
	}
	if d := out.TimeToLiveDescription; d != nil && (d.TimeToLiveStatus == types.TimeToLiveStatusEnabled || d.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		if name := aws.ToString(d.AttributeName); name != cfg.TTLAttribute {
			return fmt.Errorf("table %q expires by %q, not by %q", cfg.Table, name, cfg.TTLAttribute)
		}
		return nil
	}
	_, err = cfg.Client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(cfg.Table),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(cfg.TTLAttribute), Enabled: aws.Bool(true),
		},
	})
	return err
}

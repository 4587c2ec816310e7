package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/dynamostore"
)

// tableTimeout bounds making the table on a server on this machine.
const tableTimeout = 10 * time.Second

// openDynamo opens dynamodb://table?endpoint=http://host:port&region=name; without an endpoint Amazon's. Credentials
// come from where the AWS SDK looks for them. A server on this machine takes any, and gets the table made: such servers
// forget theirs.
func openDynamo(ctx context.Context, u *url.URL) (store.Store, io.Closer, error) {
	if err := dynamoFault(u); err != nil {
		return nil, nil, err
	}
	endpoint, region := u.Query().Get("endpoint"), u.Query().Get("region")
	here := endpoint != "" && onLoopback(endpoint)
	var load []func(*config.LoadOptions) error
	if here && os.Getenv("AWS_ACCESS_KEY_ID") == "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("reprise", "reprise", "")))
	}
	if region == "" && here {
		region = "us-east-1"
	}
	if region != "" {
		load = append(load, config.WithRegion(region))
	}
	ctx, cancel := context.WithTimeout(ctx, tableTimeout)
	defer cancel()
	aws, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, nil, fmt.Errorf("--store %s: %w", u.Redacted(), err)
	}
	cfg := dynamostore.Config{Table: u.Host, Client: dynamodb.NewFromConfig(aws, func(o *dynamodb.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})}
	if here {
		if err := dynamostore.CreateTable(ctx, cfg); err != nil {
			return nil, nil, fmt.Errorf("--store %s: %w", u.Redacted(), err)
		}
	}
	s, err := dynamostore.New(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("--store: %w", err)
	}
	return s, io.NopCloser(nil), nil // the client holds nothing but idle connections
}

func dynamoFault(u *url.URL) error {
	if u.Host == "" || u.Path != "" {
		return fmt.Errorf("--store %s: no table; use dynamodb://table?endpoint=http://host:8000", u.Redacted())
	}
	if err := onlyParams(u, "endpoint", "region"); err != nil {
		return err
	}
	return nil
}

func onLoopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

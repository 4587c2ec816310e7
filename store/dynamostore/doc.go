// Package dynamostore keeps values in a table of Amazon DynamoDB.
//
//	cfg := dynamostore.Config{Client: dynamodb.NewFromConfig(awsConfig), Table: "cache"}
//	if err := dynamostore.CreateTable(ctx, cfg); err != nil { … } // once
//	s, err := dynamostore.New(cfg)
//
// A [Store] reads many keys in one request ([store.MultiGetter]), fences invalidations ([store.Sequencer]) and grants
// leases ([store.Locker]). It can list and clear as well, by reading the whole table: [Store.Scanning].
//
// # Time
//
// DynamoDB removes what has expired within days, so that expiry is checked on every read, by this process's clock, to
// the millisecond. Removal comes an hour later at the earliest. An operation ends with its context or Config.Timeout,
// retries and throttling included.
//
// # Long values
//
// An item holds 400 KB. Longer values are cut into pieces and put together again, up to Config.MaxValueBytes. Whoever
// replaces or removes such a value removes its pieces; pieces of a write that was interrupted stay until they expire.
//
// # One region
//
// Marks and leases need one copy of the table. A global table must be used through one region alone; a table that was
// restored from a backup knows nothing of later invalidations and needs another Config.Prefix.
package dynamostore

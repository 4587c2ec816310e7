module github.com/reprise-go/reprise/e2e

go 1.25.0

require (
	github.com/aws/aws-sdk-go-v2 v1.47.6
	github.com/aws/aws-sdk-go-v2/credentials v1.20.14
	github.com/aws/aws-sdk-go-v2/service/dynamodb v1.73.0
	github.com/fxamacker/cbor/v2 v2.9.6
	github.com/redis/rueidis v1.0.79
	github.com/reprise-go/reprise v0.0.0
	github.com/reprise-go/reprise/store/dynamostore v0.0.0
	github.com/reprise-go/reprise/store/memcachedstore v0.0.0
	github.com/reprise-go/reprise/store/redisstore v0.0.0
	golang.org/x/sys v0.47.0
)

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.9 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.9 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding v1.13.24 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/endpoint-discovery v1.13.9 // indirect
	github.com/aws/smithy-go v1.28.8 // indirect
	github.com/dunglas/httpsfv v1.1.2 // indirect
	github.com/go-chi/chi/v5 v5.5.0
	github.com/maypok86/otter/v2 v2.4.0 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	github.com/x448/float16 v0.8.4 // indirect
)

replace (
	github.com/reprise-go/reprise => ..
	github.com/reprise-go/reprise/store/dynamostore => ../store/dynamostore
	github.com/reprise-go/reprise/store/memcachedstore => ../store/memcachedstore
	github.com/reprise-go/reprise/store/redisstore => ../store/redisstore
)

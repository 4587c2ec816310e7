module github.com/reprise-go/reprise/cmd/reprise

go 1.25.0

require (
	github.com/reprise-go/reprise v0.0.0
	github.com/reprise-go/reprise/store/memcachedstore v0.0.0
	github.com/reprise-go/reprise/store/redisstore v0.0.0
	github.com/spf13/cobra v1.10.2
	golang.org/x/term v0.45.0
)

require (
	github.com/dunglas/httpsfv v1.1.2 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/maypok86/otter/v2 v2.4.0 // indirect
	github.com/redis/rueidis v1.0.79 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace (
	github.com/reprise-go/reprise => ../..
	github.com/reprise-go/reprise/store/memcachedstore => ../../store/memcachedstore
	github.com/reprise-go/reprise/store/redisstore => ../../store/redisstore
)

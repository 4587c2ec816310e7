module github.com/reprise-go/reprise/store/redisstore

go 1.25.0

require (
	github.com/redis/rueidis v1.0.79
	github.com/reprise-go/reprise v0.0.0
)

require golang.org/x/sys v0.47.0 // indirect

replace github.com/reprise-go/reprise => ../..

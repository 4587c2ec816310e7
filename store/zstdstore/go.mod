module github.com/reprise-go/reprise/store/zstdstore

go 1.25.0

require (
	github.com/klauspost/compress v1.20.3
	github.com/reprise-go/reprise v0.0.0
)

replace github.com/reprise-go/reprise => ../..

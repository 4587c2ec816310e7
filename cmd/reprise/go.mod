module github.com/reprise-go/reprise/cmd/reprise

go 1.25.0

require github.com/reprise-go/reprise v0.0.0

replace github.com/reprise-go/reprise => ../..

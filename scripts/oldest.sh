#!/usr/bin/env bash
# Compiles and vets the root module without the workspace, as a user of the module does, with the oldest Go that go.mod
# names where that toolchain can be had, else with the Go that is here (which still refuses newer language features).
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=go$(awk '$1 == "go" { print $2 }' go.mod)
toolchain=local
if GOTOOLCHAIN=$oldest timeout 120 go version >/dev/null 2>&1; then
	toolchain=$oldest
else
	echo "oldest: $oldest is not to be had here; checking with $(go env GOVERSION)"
fi

export GOWORK=off GOTOOLCHAIN=$toolchain
go version
go build ./...
go vet ./...

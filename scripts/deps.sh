#!/usr/bin/env bash
# What a program links by importing reprise: no test code (package testing registers flags and slows start-up), and no
# module beyond those that go.mod names.
set -euo pipefail
cd "$(dirname "$0")/.."

deps=$(go list -deps .)
if grep -Ex 'testing|testing/.*|flag|github.com/reprise-go/reprise/(store/storetest|internal/(scenario|realserver))' <<<"$deps"; then
	echo "deps: the root package must not link the packages above" >&2
	exit 1
fi
echo "modules linked by the root package:"
go list -deps -f '{{with .Module}}{{.Path}} {{.Version}}{{end}}' . | sort -u | sed 's/^/  /'

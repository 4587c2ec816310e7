#!/usr/bin/env bash
# Installs DynamoDB Local for the tests of store/dynamostore, unless it is there: from Maven Central, in the version of
# tools/dynamodb/pom.xml, into the user's cache directory. Needs Java 17 and Maven, and installs them by apt where it
# may. Starts nothing; internal/realserver does.
#
# It is Amazon's own, and the only one of those that were tried that has transactions, the old item of a failed
# condition and TTL settings, which the store relies on.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n '/DynamoDBLocal/,/version/s/.*<version>\(.*\)<.*/\1/p' tools/dynamodb/pom.xml)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/reprise
target=$cache/dynamodb-local-$version

fail() {
	echo "dynamodb: $*" >&2
	exit 1
}

. scripts/debian.sh

missing=()
have java || missing+=(default-jre-headless)
if [[ ! -d $target ]]; then
	have mvn || missing+=(maven)
fi
if ((${#missing[@]})); then
	install_packages "${missing[@]}"
fi

if [[ -d $target ]]; then
	exit
fi
echo "dynamodb: installing DynamoDB Local $version to $target"
mkdir -p "$cache"
new=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
mvn --batch-mode --quiet -Dstyle.color=never --strict-checksums --file tools/dynamodb/pom.xml dependency:copy-dependencies \
	-DincludeScope=runtime -DoutputDirectory="$new/lib"
# Another run may have been faster.
mv -T "$new/lib" "$target" 2>/dev/null || [[ -d $target ]]

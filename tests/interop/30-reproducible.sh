#!/usr/bin/env bash
# The same lock gives the same bytes, signatures included, whoever builds it and wherever.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/30-reproducible
whole_manifest "$here/sealift.toml"
"$SEALIFT" lock -f "$here/sealift.toml" --home "$here/cache" >"$here/lock.log"

# variant NAME FOLDER ENVIRONMENT... -- ARGUMENT...: a build from an empty cache
variant() {
  local name=$1 folder=$2 environment=()
  shift 2
  while [ "$1" != -- ]; do
    environment+=("$1")
    shift
  done
  shift
  mkdir -p "$folder/home"
  cp "$here/sealift.toml" "$here/sealift.lock" "$folder"
  check "$name" env -i -C "$folder" PATH="$PATH" HOME="$folder/home" "${environment[@]}" \
    "$SEALIFT" build -f sealift.toml -o . --locked --key "$KEY" --quiet "$@"
}

umask 022
variant "build with -j1" "$here/a" TZ=UTC LANG=C -- -j1
umask 077
variant "build with -j8, elsewhere" "$here/b/a longer path/ünïcode" TZ=Asia/Kathmandu LANG=de_DE.UTF-8 TMPDIR=/var/tmp -- -j8
umask 022
sleep 1.1
variant "build a moment later" "$here/c" TZ=America/St_Johns LC_ALL=C.UTF-8 -- -j3

check "-j8 elsewhere gives the same bytes" diff -r "$here/a/testbed-1.0" "$here/b/a longer path/ünïcode/testbed-1.0"
check "a moment later gives the same bytes" diff -r "$here/a/testbed-1.0" "$here/c/testbed-1.0"
check "it verifies" "$SEALIFT" verify "$here/a/testbed-1.0" --key "$PUB"

variant "split with -j1" "$here/d" TZ=UTC -- -j1 --volume-size 20MiB
variant "split with -j8" "$here/e" TZ=Asia/Tokyo -- -j8 --volume-size 20MiB
check "split volumes are the same bytes" diff -r "$here/d/testbed-1.0" "$here/e/testbed-1.0"
check "there are several volumes" test -e "$here/d/testbed-1.0/volumes/0002.tar.zst"
equal "none is over its limit" 0 "$(find "$here/d/testbed-1.0/volumes" -size +20971520c | wc -l)"

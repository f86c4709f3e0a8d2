#!/usr/bin/env bash
# An upstream that fails in the ways that upstreams fail: what heals is healed, what does not ends with code 9,
# a list, no bundle, and a second run that goes on.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/70-flaky

# through MODE [ORIGIN [SINK]]: locks against a good server, then puts a misbehaving one on the same port, with an
# empty cache. Makes $folder, $arguments and $requests; the port is PORT if that is set.
through() {
  local origin=${2:-$UPSTREAM}
  port=${PORT:-$(free_port)}
  folder=$here/$1
  requests=$folder/requests
  mkdir -p "$folder"
  small_manifest "$folder/sealift.toml" "127.0.0.1:$port"
  arguments=(build -f "$folder/sealift.toml" -o "$folder" --key "$KEY" --home "$folder/cache" --locked)
  start "$folder/plain.log" python3 "$HERE/flaky.py" plain "$port" "$origin" "$folder/plain"
  flaky=$!
  until_true 10 curl -s -o "$folder/ping" "http://127.0.0.1:$port/v2/"
  "$SEALIFT" lock -f "$folder/sealift.toml" --home "$folder/other-cache" >"$folder/lock.log"
  stop "$flaky"
  misbehave "$1" "$origin" "${3:-}"
}
misbehave() {
  start "$folder/$1.log" python3 "$HERE/flaky.py" "$1" "$port" "$2" "$requests" "${3:-}"
  flaky=$!
  until_true 10 curl -s -o "$folder/ping" "http://127.0.0.1:$port/v2/"
}
# healthy: the server on this port behaves from now on; the second run must finish the work
healthy() {
  stop "$flaky"
  misbehave plain "$UPSTREAM"
  check "$1: a second run finishes" "$SEALIFT" "${arguments[@]}"
  check "$1: its bundle verifies" "$SEALIFT" verify "$folder/small-1.0" --key "$PUB"
}
# logged COUNT PATTERN: at least so many requests of this kind
logged() { [ "$(grep -cE "$2" "$requests")" -ge "$1" ] || { cat "$requests"; return 1; }; }
layer=$(raw "$UPSTREAM" team/go-app:1.0 | jq -r '.layers[0].digest')

through errors
check "500 and 503 are tried again" "$SEALIFT" "${arguments[@]}"
check "the bundle verifies" "$SEALIFT" verify "$folder/small-1.0" --key "$PUB"
check "a third try was made" logged 1 "^3 GET .*$layer"
stop "$flaky"

through busy
check "429 with Retry-After is waited for" "$SEALIFT" "${arguments[@]}"
check "the same was asked again" logged 1 "^2 GET .*$layer"
stop "$flaky"

through cut
check "cut bodies are resumed" "$SEALIFT" "${arguments[@]}"
check "the bundle of cut bodies verifies" "$SEALIFT" verify "$folder/small-1.0" --key "$PUB"
check "they were resumed with Range" logged 1 "^2 GET .*$layer bytes=[1-9]"
stop "$flaky"

through half
refuse "bodies that never end well" 9 network "${arguments[@]}"
check "no bundle of them" test ! -e "$folder/small-1.0"
healthy "bodies that never end well"
stop "$flaky"

through down
refuse "a server that is down" 9 http-status "${arguments[@]}"
"$SEALIFT" "${arguments[@]}" >"$folder/said" 2>&1 || true
check "every failed item is named" grep -F "$layer" "$folder/said"
check "no bundle of it" test ! -e "$folder/small-1.0"
healthy "a server that is down"
stop "$flaky"

through forever
begun=$SECONDS
refuse "a Retry-After of days" 9 rate-limited "${arguments[@]}"
check "it is not waited for" test $((SECONDS - begun)) -lt 60
stop "$flaky"

for mode in wrong longer manifest; do
  through "$mode"
  refuse "bytes that differ ($mode)" 9 upstream-digest-mismatch "${arguments[@]}"
  check "no bundle of them ($mode)" test ! -e "$folder/small-1.0"
  healthy "bytes that differ ($mode)"
  stop "$flaky"
done

# a redirect to another host: followed, but what proves who asks stays behind
sink=$(free_port)
PORT=$(free_port)
start "$here/sink.log" python3 "$HERE/flaky.py" plain "$sink" "$UPSTREAM" "$here/sink"
until_true 10 curl -s -o "$here/ping" "http://127.0.0.1:$sink/v2/"
export SEALIFT_REGISTRY_AUTH=127.0.0.1:$PORT=alice:s3cret
through redirect "$UPSTREAM_AUTH" "localhost:$sink"
check "a redirect to another host is followed" "$SEALIFT" "${arguments[@]}"
check "its bundle verifies" "$SEALIFT" verify "$folder/small-1.0" --key "$PUB"
check "credentials went to the registry" logged 1 ' Basic [A-Za-z0-9=]+$'
check "blobs came from the other host" grep -F "$layer" "$here/sink"
equal "credentials did not go there" 0 "$(grep -cv -- ' -$' "$here/sink" || true)"

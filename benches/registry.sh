#!/usr/bin/env bash
# Measures the registry beside CNCF distribution and zot, in turns, in one run, over plain HTTP on loopback. Prints a
# Markdown table to standard output; what happens goes to standard error.
#
#   benches/registry.sh            about ten minutes on two cores, 30 GB of disk
#   benches/registry.sh manifests  only pushes and pulls of manifests
#   benches/registry.sh scale      lists and a start with 10,000 repositories and 100,000 contents, of ours alone
#
# zot is built from the module proxy by `.ci/install --bench`.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/../tests/interop/lib.sh"
# shellcheck source=.ci/install
source "$ROOT/.ci/install" --paths

[ -x "$SEALIFT" ] || { echo "no $SEALIFT: run cargo build --release first" >&2; exit 2; }
[ "${1:-}" = scale ] || command -v zot >/dev/null || { echo "no zot: run .ci/install --bench first" >&2; exit 2; }
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
RUN=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX")
pids=()
stop() {
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait
  rm -rf "$RUN"
}
trap stop EXIT

# serve NAME PORT COMMAND...: starts one, and waits until it answers
serve() {
  local name=$1 port=$2
  shift 2
  "$@" >"$RUN/$name.log" 2>&1 &
  pids+=($!)
  registries+=("$name=127.0.0.1:$port=$!")
  for _ in $(seq 500); do
    ! curl -s -o /dev/null "http://127.0.0.1:$port/v2/" || return 0
    sleep 0.02
  done
  echo "$name does not start:" >&2
  tail -n 20 "$RUN/$name.log" >&2
  exit 1
}

registries=()
ours=$(free_port)
serve sealift "$ours" "$SEALIFT" serve --home "$RUN/home" --sandbox --plain-http --listen "127.0.0.1:$ours"
if [ "${1:-}" = scale ]; then
  (cd "$ROOT" && cargo bench --locked --quiet --bench registry -- scale "127.0.0.1:$ours")
  kill "${pids[0]}"
  wait "${pids[0]}" || true
  pids=()
  begun=$(date +%s%N)
  serve again "$ours" "$SEALIFT" serve --home "$RUN/home" --sandbox --plain-http --listen "127.0.0.1:$ours"
  echo
  echo "start to the first answer: $((($(date +%s%N) - begun) / 1000000)) ms"
  exit
fi
theirs=$(free_port)
cat >"$RUN/distribution.yml" <<EOF
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $RUN/distribution}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$theirs"}
EOF
serve distribution "$theirs" docker-registry serve "$RUN/distribution.yml"
theirs=$(free_port)
cat >"$RUN/zot.json" <<EOF
{"storage": {"rootDirectory": "$RUN/zot", "commit": true},
 "http": {"address": "127.0.0.1", "port": "$theirs"}, "log": {"level": "error"}}
EOF
serve zot "$theirs" zot serve "$RUN/zot.json"
(cd "$ROOT" && cargo bench --locked --quiet --bench registry -- "${registries[@]}" "$@")

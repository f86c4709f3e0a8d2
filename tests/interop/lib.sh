# What every interop script and the benchmarks share: servers that end with the script, results, sealift.
# Sourced, never run.
# shellcheck shell=bash

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
SEALIFT=${SEALIFT:-$ROOT/target/release/sealift}

# --- servers -------------------------------------------------------------------------------------

STARTED=()

# start LOG COMMAND...: a server of ours; it ends with this script. Its process id is $! afterwards.
start() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 </dev/null 9>&- &
  STARTED+=($!)
}

# stop PID: ends one server that start began
stop() {
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

stop_all() {
  local pid
  for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${STARTED[@]}"; do wait "$pid" 2>/dev/null || true; done
  STARTED=()
}
trap stop_all EXIT

# free_port: a loopback port that nobody listens on
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# until_true SECONDS COMMAND...: waits for a command to succeed
until_true() {
  local left=$(($1 * 20))
  shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { echo "gave up waiting for: $*" >&2; return 1; }
    sleep 0.05
  done
}

# registry FOLDER PORT [HTPASSWD [CERTIFICATE]]: CNCF distribution on FOLDER/data; by TLS with CERTIFICATE.pem and .key
registry() {
  local folder=$1 port=$2
  mkdir -p "$folder"
  {
    printf 'version: 0.1\nlog: {level: warn}\nhttp:\n  addr: "127.0.0.1:%s"\n' "$port"
    [ -z "${4:-}" ] || printf '  tls: {certificate: "%s.pem", key: "%s.key"}\n' "$4" "$4"
    printf 'storage:\n  filesystem: {rootdirectory: "%s"}\n  delete: {enabled: true}\n' "${REGISTRY_DATA:-$folder/data}"
    [ -z "${3:-}" ] || printf 'auth:\n  htpasswd: {realm: testbed, path: "%s"}\n' "$3"
  } >"$folder/config-$port.yml"
  start "$folder/registry-$port.log" docker-registry serve "$folder/config-$port.yml"
  # 401 is an answer too, and so is 400 to HTTP where TLS is spoken
  until_true 20 curl -s -o "$folder/ping" "http://127.0.0.1:$port/v2/"
}

# serve HOME LOG [ARGUMENT...]: `sealift serve` by HTTP on a free port; SERVED is its address, SERVED_PID its process
serve() { serve_tls "$@" --plain-http; }

# serve_tls HOME LOG [ARGUMENT...]: the same by TLS
serve_tls() {
  start "$2" "$SEALIFT" serve --home "$1" --listen 127.0.0.1:0 "${@:3}"
  SERVED_PID=$!
  until_true 20 grep -Eo '127\.0\.0\.1:[1-9][0-9]*' "$2"
  SERVED=$(grep -Eom1 '127\.0\.0\.1:[1-9][0-9]*' "$2")
  export SERVED SERVED_PID
}

# authority NAME: NAME.pem, a certificate authority of our own, in the folder where one stands
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
    -addext 'basicConstraints=critical,CA:true' -addext 'keyUsage=critical,keyCertSign' -keyout "$1.key" -out "$1.pem" 2>>openssl.log
}
# certificate NAME HOST DAYS: NAME.pem and NAME.key for a server, by the authority `ours`
certificate() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" \
    2>>openssl.log
  openssl x509 -req -in "$1.csr" -CA ours.pem -CAkey ours.key -CAcreateserial -days "$3" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$2") -out "$1.pem" 2>>openssl.log
}

# in_memory NAME: MEMORY, a folder for many short runs that ends with the script; not on the disk where there is room
in_memory() {
  MEMORY=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "$WORK")/$1.XXXXXX")
  trap 'stop_all; rm -rf "$MEMORY"' EXIT
}

# --- results -------------------------------------------------------------------------------------

ok() { echo "ok $*"; }
not_ok() { echo "not ok $*"; }

# check NAME COMMAND...: ok when the command succeeds; what it printed is shown only when it does not
check() {
  local name=$1 log
  shift
  log=$(mktemp "$WORK/check.XXXXXX")
  if "$@" >"$log" 2>&1; then
    ok "$name"
  else
    not_ok "$name (exit $?): $*"
    tail -n 15 "$log" | sed 's/^/    /'
  fi
  rm -f "$log"
}

# not COMMAND...: succeeds when the command fails by itself, not by a signal or by not being there
not() {
  local code=0
  "$@" || code=$?
  [ "$code" -gt 0 ] && [ "$code" -lt 126 ]
}

# refuse NAME CODE REASON ARGUMENT...: sealift ends with this exit code, and its JSON names this reason and no other
refuse() {
  local name=$1 code=$2 reason=$3 found=0 reasons log
  shift 3
  log=$(mktemp "$WORK/refuse.XXXXXX")
  timeout 300 "$SEALIFT" "$@" --output json >"$log" 2>"$log.talk" || found=$?
  reasons=$(jq -r '[.failures[].reason] | unique | join(" ")' "$log" || true)
  if [ "$found" = "$code" ] && [ "$reasons" = "$reason" ]; then
    ok "$name"
  else
    not_ok "$name: exit $found instead of $code, or '$reasons' instead of $reason: sealift $*"
    tail -n 15 "$log.talk" "$log" | sed 's/^/    /'
  fi
  rm -f "$log" "$log.talk"
}

# what sha256sum says of nothing: two failures must not look alike
NOTHING=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

# equal NAME A B: ok when two texts are the same and neither is nothing
equal() {
  if [ -n "$2" ] && [ "$2" = "$3" ] && [[ $2 != "$NOTHING"* ]]; then
    ok "$1"
  else
    not_ok "$1: '$2' is not '$3'"
  fi
}

digest_of() { sha256sum "$1" | cut -d' ' -f1; }

# raw HOST NAME[:TAG|@DIGEST]: a manifest as skopeo gets it, byte for byte
raw() { skopeo inspect --raw --tls-verify=false "docker://$1/$2"; }

# --- sealift -------------------------------------------------------------------------------------

# inside REFERENCE: the name that content of this upstream has inside the gap
inside() { echo "${1/:/_}"; }

# keys FOLDER: KEY and PUB, a signing key for this run
keys() {
  KEY=$1/signing.pem PUB=$1/signing.pub
  if [ ! -e "$KEY" ]; then
    "$SEALIFT" key generate -o "$KEY" --no-passphrase --quiet >"$PUB"
    "$SEALIFT" key public "$KEY" >"$PUB"
  fi
  export KEY PUB
}

# plain_http HOST...: the part of a manifest that lets sealift speak HTTP to these
plain_http() {
  local host
  for host in "$@"; do printf '\n[registries."%s"]\nplain_http = true\n' "$host"; done
}

# build MANIFEST OUT [ARGUMENT...]: locks where there is no lock and builds; what it prints goes to $RUN/build.log
build() {
  local manifest=$1 out=$2
  shift 2
  {
    [ -e "${manifest%.toml}.lock" ] || "$SEALIFT" lock -f "$manifest" --home "$WORK/cache"
    "$SEALIFT" build -f "$manifest" -o "$out" --key "$KEY" --home "$WORK/cache" "$@"
  } >>"$RUN/build.log"
}

# whole_manifest FILE: everything that the testbed has
whole_manifest() {
  {
    printf '[bundle]\nname = "testbed"\nversion = "1.0"\nchannel = "interop"\n'
    printf '\n[[images]]\nrepository = "%s/library/debian"\ntags = { regex = "12\\\\.[01]" }\n' "$UPSTREAM"
    local name
    for name in library/debian:multi team/python-app:1.0 team/python-app:1.1 team/go-app:1.0; do
      printf '\n[[images]]\nimage = "%s/%s"\n' "$UPSTREAM" "$name"
    done
    for name in web=1.0.0 platform=2.0.0+build.7 "stack=>=0.1"; do
      printf '\n[[charts]]\nrepository = "http://%s/charts"\nname = "%s"\nversion = "%s"\n' \
        "$WEB" "${name%%=*}" "${name#*=}"
    done
    printf '\n[[charts]]\nrepository = "oci://%s/charts"\nname = "web"\nversion = "1.0.0"\n' "$UPSTREAM"
    printf '\n[[files]]\nurl = "http://%s/files/tool"\nversion = "1.0"\nexecutable = true\nsha256 = "%s"\n' \
      "$WEB" "$(digest_of "$RUN/www/files/tool")"
    plain_http "$UPSTREAM"
  } >"$1"
}

# small_manifest FILE [REGISTRY]: one image with its signature and SBOM
small_manifest() {
  local registry=${2:-$UPSTREAM}
  {
    printf '[bundle]\nname = "small"\nversion = "1.0"\n'
    printf '\n[[images]]\nimage = "%s/team/go-app:1.0"\n' "$registry"
    plain_http "$registry"
  } >"$1"
}

# whole_bundle: makes $RUN/whole/testbed-1.0 once in a run
whole_bundle() {
  BUNDLE=$RUN/whole/testbed-1.0
  [ ! -e "$BUNDLE" ] || return 0
  mkdir -p "$RUN/whole"
  whole_manifest "$RUN/whole/sealift.toml"
  build "$RUN/whole/sealift.toml" "$RUN/whole"
}

# small_bundle: makes $RUN/small/small-1.0 once in a run, in several volumes
small_bundle() {
  SMALL=$RUN/small/small-1.0
  [ ! -e "$SMALL" ] || return 0
  mkdir -p "$RUN/small"
  small_manifest "$RUN/small/sealift.toml"
  build "$RUN/small/sealift.toml" "$RUN/small" --volume-size 2MiB
}

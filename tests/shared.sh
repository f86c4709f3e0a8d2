#!/usr/bin/env bash
# Runs a command with servers of its own, that are there as long as the command is. Tests that make homes keep their rows in
# PostgreSQL, for SEALIFT_TEST_POSTGRES names it, and their contents in a bucket, for SEALIFT_TEST_S3 does; with --rows
# contents stay in the folders of the homes.
#
#   tests/shared.sh cargo test --test it -- data_loss registry_push replicas
#   tests/shared.sh --rows cargo test --test it -- data_loss registry_push
set -euo pipefail

rows=
if [ "${1-}" = --rows ]; then
  rows=1
  shift
fi
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=.ci/install
source "$root/.ci/install" --paths

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -1)
[ -x "$bin/initdb" ] || { echo "there is no initdb below /usr/lib/postgresql: install the package postgresql" >&2; exit 1; }
# It refuses to work for root.
as=()
[ "$(id -u)" -ne 0 ] || as=(runuser -u postgres --)
folder=$("${as[@]}" mktemp -d)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
moto=
stop() {
  if [ -n "$moto" ]; then
    kill "$moto" 2>/dev/null || true
    wait "$moto" 2>/dev/null || true
  fi
  "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate stop >"$folder/stop.log" 2>&1 || true
  rm -rf "$folder"
}
trap stop EXIT
cd "$folder"
"${as[@]}" "$bin/initdb" -D "$folder/data" -A trust -U sealift --no-sync >"$folder/initdb.log"
# Without syncs: it is the statements that are tried here, and hundreds of databases are made.
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/server.log" start >"$folder/start.log" -o \
  "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder -c fsync=off -c max_connections=300"
cd "$OLDPWD"
export SEALIFT_TEST_POSTGRES="postgres://sealift@127.0.0.1:$port"
if [ -z "$rows" ]; then
  command -v moto_server >/dev/null || { echo "there is no moto_server: run .ci/install --packages" >&2; exit 1; }
  s3=$(free_port)
  # Everybody's words are credentials to it, and nothing of the machine's own environment is.
  env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY moto_server -H 127.0.0.1 -p "$s3" >"$folder/moto.log" 2>&1 &
  moto=$!
  export SEALIFT_TEST_S3="http://127.0.0.1:$s3"
  curl -fsS --retry 60 --retry-delay 1 --retry-connrefused -o "$folder/bucket.log" -X PUT "$SEALIFT_TEST_S3/contents"
fi
"$@"

#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own, that is there as long as the command is: tests that make homes keep
# their rows there, for SEALIFT_TEST_POSTGRES names it.
#
#   tests/postgres.sh cargo test --test it -- data_loss registry_push
set -euo pipefail

bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -1)
[ -x "$bin/initdb" ] || { echo "there is no initdb below /usr/lib/postgresql: install the package postgresql" >&2; exit 1; }
# It refuses to work for root.
as=()
[ "$(id -u)" -ne 0 ] || as=(runuser -u postgres --)
folder=$("${as[@]}" mktemp -d)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
stop() {
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
SEALIFT_TEST_POSTGRES="postgres://sealift@127.0.0.1:$port" "$@"

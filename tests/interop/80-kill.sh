#!/usr/bin/env bash
# kill -9 at random moments of build and import: the state is old or new, and the rerun succeeds.
#
#   KILL_ROUNDS=2000 KILL_SEED=7 tests/interop/run.sh 80
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/80-kill
# moment NUMBER: pushes new content under the same two tags and locks it
moment() {
  local name
  for name in one two three; do
    head -c 2500000 /dev/urandom >"$here/$name"
    (cd "$here" && oras push --plain-http "$DEST/kill/$name:stable" "$name:application/octet-stream") >>"$here/push.log"
  done
  mkdir -p "$here/$1"
  {
    printf '[bundle]\nname = "kill"\nversion = "%s"\nsequence = %s\n' "$1" "$1"
    printf '\n[[images]]\nimage = "%s/kill/%s:stable"\n' "$DEST" one "$DEST" two "$DEST" three
    plain_http "$DEST"
  } >"$here/$1/sealift.toml"
  "$SEALIFT" lock -f "$here/$1/sealift.toml" --home "$here/cache" >"$here/lock.log"
}
moment 1
moment 2
python3 "$HERE/kill.py" "$here/work" "$SEALIFT" "$KEY" "$PUB" \
  "$here/1/sealift.toml" "$here/2/sealift.toml" "${KILL_ROUNDS:-300}" ${KILL_SEED:+"$KILL_SEED"}

#!/usr/bin/env bash
# kill -9 at random moments of build and import: the state is old or new, and the rerun succeeds (R03, C06, C07).
#
#   KILL_BUILDS=2000 KILL_IMPORTS=20000 KILL_SEED=7 tests/interop/run.sh 80
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

in_memory kill
python3 "$HERE/kill.py" "$MEMORY" "$SEALIFT" "${KILL_BUILDS:-200}" "${KILL_IMPORTS:-2000}" ${KILL_SEED:+"$KILL_SEED"}

#!/usr/bin/env bash
# Every change of the disk fails once, and the power is cut behind every one: old or new, and the rerun succeeds.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

# In memory where there is room: what a disk would keep is worked out by the model.
here=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "$WORK")/faults.XXXXXX")
trap 'stop_all; rm -rf "$here"' EXIT
python3 "$HERE/faults.py" "$here" "$SEALIFT" "$ROOT/testdata/demo"

#!/usr/bin/env bash
# Every change of the disk fails, and the power is cut behind every one: old or new, and the rerun succeeds. What is
# acknowledged is durable: every file is synced before it gets its name, every name before the exit code is 0
# (R03, C01, C02, C03, C04, C05).
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

in_memory faults
python3 "$HERE/faults.py" "$MEMORY" "$SEALIFT" "$ROOT/testdata/demo"

#!/usr/bin/env bash
# A verdict is the same wherever and whenever it is asked for: without any network interface, from media that
# cannot be written, and whatever the clock says.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/35-same-verdict
whole_bundle

# verdict COMMAND...: what `sealift verify` prints, run by COMMAND, from one and the same path
verdict() { "$@" "$SEALIFT" verify "$here/media" --key "$PUB" --output json 2>"$here/talk"; }

mkdir -p "$here/media"
mount --bind "$BUNDLE" "$here/media"
trap 'umount "$here/media"; stop_all' EXIT
plain=$(verdict env)
check "the verdict is good" jq -e '.verdict == "good"' <<<"$plain"

mount -o remount,bind,ro "$here/media"
check "the media cannot be written" bash -c "! touch '$here/media/x'"
equal "from media mounted read-only" "$(verdict env)" "$plain"
equal "without any network interface, not even loopback" "$(verdict unshare --net)" "$plain"
for year in 1970 2038 2100; do
  day="$year-01-20 03:14:08"
  equal "the clock stands at $day" "$(TZ=UTC faketime "$day" date +%Y)" "$year"
  equal "by a clock of $year" "$(verdict env TZ=UTC faketime "$day")" "$plain"
done
equal "with all of it together" "$(verdict unshare --net env TZ=UTC faketime '2100-01-01 00:00:00')" "$plain"

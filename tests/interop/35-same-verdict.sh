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

# --- at a site with a root of trust, which remembers a bundle of before ----------------------------

cp "$ROOT"/testdata/demo/* "$here"
cd "$here"
for name in ruth ralf alice; do "$SEALIFT" -q key generate -o $name.key --no-passphrase >$name.pub; done
"$SEALIFT" -q trust init --out trust --channel prod --key root:ruth=ruth.pub --key root:ralf=ralf.pub \
  --threshold root=2 --key release:alice=alice.pub >talk.log
print=$("$SEALIFT" trust show trust --output json | jq -r '.documents[-1].fingerprint')
for name in ruth ralf; do "$SEALIFT" -q trust sign trust --key $name.key --fingerprint "$print" >>talk.log; done
cp sealift.toml plain.toml
for sequence in 1 2 3; do
  sed "s/^version = .*/version = \"$sequence\"\nchannel = \"prod\"\nsequence = $sequence\ntrust = \"trust\"/" plain.toml \
    >sealift.toml
  "$SEALIFT" -q build --key alice.key -o out --home cache >>talk.log
done
home=$here/site
"$SEALIFT" -q --home "$home" trust init --site plant-7 --fingerprint "$print" --media out/demo-1 >>talk.log
check "the site imports" "$SEALIFT" --home "$home" import out/demo-2

# verdicts COMMAND...: what the site says of the next bundle and of a replayed one, and the exit codes
verdicts() {
  local bundle
  for bundle in out/demo-3 out/demo-1; do
    "$@" "$SEALIFT" --home "$home" verify "$bundle" --output json 2>>talk.log && echo "exit 0" || echo "exit $?"
  done
}
mount --bind "$home" "$home"
trap 'umount "$home"; umount "$here/media"; stop_all' EXIT
plain=$(verdicts env)
check "the next bundle is good, the replayed one is not" test "$(grep '^exit' <<<"$plain" | xargs)" = "exit 0 exit 6"
check "the replayed one is named so" grep -q '"rollback"' <<<"$plain"
mount -o remount,bind,ro "$home"
check "the home cannot be written" bash -c "! touch '$home/x'"
equal "a site mounted read-only says the same" "$(verdicts env)" "$plain"
for year in 1970 2038 2100; do
  equal "a site says the same by a clock of $year" "$(verdicts env TZ=UTC faketime "$year-01-20 03:14:08")" "$plain"
done
equal "a site says the same with all of it together" \
  "$(verdicts unshare --net env TZ=UTC faketime '2100-01-01 00:00:00')" "$plain"

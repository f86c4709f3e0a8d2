#!/usr/bin/env bash
# The story of a site: two people sign, a key is stolen, a root key is lost, a courier brings the wrong stick, the
# database is gone. Each chapter ends as docs/trust.md says, through the program alone.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/57-story
mkdir -p "$here/out"
cp "$ROOT"/testdata/demo/* "$here"
cd "$here"
cp sealift.toml plain.toml
export SEALIFT_HOME=$here/cache
site=(--home "$here/site")

for name in ruth ralf rosa alice alice2 bob carol dave; do
  "$SEALIFT" -q key generate -o $name.key --no-passphrase >$name.pub
done

# endorse FOLDER NAME...: these people sign the newest trust document of a folder, one after the other
endorse() {
  local dir=$1 name print
  shift
  print=$("$SEALIFT" trust show "$dir" --output json | jq -r '.documents[-1].fingerprint')
  for name; do "$SEALIFT" -q trust sign "$dir" --key "$name.key" --fingerprint "$print" >>talk.log; done
}

# manifest VERSION SEQUENCE [LINE]: that of a bundle of channel prod, with a further line below [bundle]
manifest() {
  local version=$1 sequence=$2 line=${3:-}
  sed "s/^version = .*/version = \"$version\"\nchannel = \"prod\"\nsequence = $sequence\ntrust = \"trust\"\n$line/" \
    plain.toml >sealift.toml
}
# bundle KEY VERSION SEQUENCE [BUILD-ARGUMENT...]: built and signed by KEY; the folder is out/demo-VERSION. The manifest
# has the line LINE_BELOW.
bundle() {
  local key=$1 version=$2 sequence=$3
  shift 3
  manifest "$version" "$sequence" "${LINE_BELOW:-}"
  "$SEALIFT" -q build --key "$key.key" -o out "$@" >>talk.log
}
# approve NAME VERSION...: the approver looks at a bundle and signs it. Each time with a memory of its own: from one
# home nobody signs two bundles of one sequence, and that is what is to be shown here.
approve() {
  local name=$1 version
  shift
  for version; do
    "$SEALIFT" -q --home "$here/$name-$version" sign "out/demo-$version" --key "$name.key" \
      --digest "$(digest_of "out/demo-$version/SHA256SUMS")" >>talk.log
  done
}
takes() { check "$1" "$SEALIFT" "${site[@]}" import "out/demo-$2" --receipt "receipt-$2.jsonl"; }
refuses() { refuse "$1" "$2" "$3" "${site[@]}" import "out/demo-$4"; }
# order NAME EFFECT VERSION SIGNER...: an override for a bundle, by these people
order() {
  local name=$1 effect=$2 version=$3 signer print
  shift 3
  "$SEALIFT" -q trust override --site plant-7 --bundle "out/demo-$version" --effect "$effect" \
    --reason "the story asks for it" -o "$name" >>talk.log
  print=$("$SEALIFT" trust show "$name" --output json | jq -r '.documents[-1].fingerprint')
  for signer; do "$SEALIFT" -q trust sign "$name" --key "$signer.key" --fingerprint "$print" >>talk.log; done
}
sequence_here() { "$SEALIFT" "${site[@]}" trust status --output json | jq -r '.channels[0].last.sequence'; }

# --- two holders ---------------------------------------------------------------------------------

"$SEALIFT" -q trust init --out trust --channel prod \
  --key root:ruth=ruth.pub --key root:ralf=ralf.pub --key root:rosa=rosa.pub --threshold root=2 \
  --key release:alice=alice.pub --key approver:bob=bob.pub \
  --key override:carol=carol.pub --key override:dave=dave.pub >>talk.log
endorse trust ruth ralf
print=$(sed '/^$/,$d' trust/0001.trust | sha256sum | cut -d" " -f1)
bundle alice 1 1
refuse "a site is not pinned from the media in silence" 5 trust-fingerprint \
  "${site[@]}" trust init --site plant-7 --root out/demo-1/trust/0001.trust
check "a site is pinned by the fingerprint from paper" "$SEALIFT" "${site[@]}" trust init --site plant-7 \
  --fingerprint "$print" --media out/demo-1
refuses "one signature is not enough" 5 signatures-too-few 1
approve bob 1
takes "two people's are" 1
takes "the same bundle again is no fault" 1
refuse "no key on the command line replaces the root" 5 trust-pinned "${site[@]}" import out/demo-1 --key alice.pub

# --- a stolen key, and a lost one ----------------------------------------------------------------

bundle alice 2-old 2
approve bob 2-old
"$SEALIFT" -q trust rotate trust alice alice2.pub --revoke "laptop stolen" >>talk.log
# Rosa's root key is lost: the two others are enough, and put another in its place.
"$SEALIFT" -q key generate -o rita.key --no-passphrase >rita.pub
"$SEALIFT" -q trust rotate trust rosa rita.pub >>talk.log
endorse trust ruth ralf
check "the root is rotated with one of three keys lost" test "$("$SEALIFT" trust show trust --output json |
  jq '.versions | length')" = 2
bundle alice2 2 2 --previous out/demo-1
approve bob 2
takes "the new key is accepted with the document that the bundle brings" 2
refuses "the stolen one no more" 5 key-revoked 2-old

# --- the wrong stick -----------------------------------------------------------------------------

bundle alice2 3 3 --previous out/demo-2
bundle alice2 3-twin 3
bundle alice2 4-fork 4 --previous out/demo-2
bundle alice2 5000 5000
LINE_BELOW='site = "plant-8"' bundle alice2 4-elsewhere 4
sed 's/^version = .*/version = "3-test"\nchannel = "test"\nsequence = 4/' plain.toml >sealift.toml
"$SEALIFT" -q build --key alice2.key -o out >>talk.log
approve bob 3 3-twin 4-fork 5000 4-elsewhere 3-test
takes "the next one" 3
refuses "replayed: an older one" 6 rollback 2
refuses "skipped: far ahead" 6 sequence-jump 5000
refuses "forked: it follows another than the last" 6 previous-mismatch 4-fork
refuses "for another site" 6 wrong-site 4-elsewhere
refuses "of another channel" 6 channel-unknown 3-test
equal "none of them moved the site" "$(sequence_here)" 3

# --- an override ---------------------------------------------------------------------------------

order one.note rollback 2 carol
refuse "one person overrides nothing" 5 signatures-too-few "${site[@]}" trust accept one.note
order two.note rollback 2 carol dave
check "two people do" "$SEALIFT" "${site[@]}" trust accept two.note
refuses "for one digest only" 6 previous-mismatch 4-fork
takes "and it is admitted" 2
takes "forward again" 3
refuses "once" 6 rollback 2
refuses "two bundles of one sequence freeze the channel" 6 equivocation 3-twin
refuses "until people say which is right" 6 channel-frozen 3
order thaw.note equivocation 3 carol dave
check "who say so with an override" "$SEALIFT" "${site[@]}" trust accept thaw.note
takes "the channel goes on" 3

# --- a lost database -----------------------------------------------------------------------------

check "the ledger is whole" "$SEALIFT" "${site[@]}" audit ledger
rm "$here"/site/sealift.db*
refuse "a home without memory takes nothing on trust" 5 no-key "${site[@]}" import out/demo-2
print=$(sed '/^$/,$d' trust/0002.trust | sha256sum | cut -d" " -f1)
check "it is given back by a receipt" "$SEALIFT" "${site[@]}" trust init --site plant-7 \
  --fingerprint "$print" --media out/demo-3 --receipt receipt-3.jsonl
equal "with its place" "$(sequence_here)" 3
refuses "so that old bundles stay old" 6 rollback 2
bundle alice2 4 4 --previous out/demo-3
approve bob 4
takes "and the next one comes" 4
check "the new ledger is whole" "$SEALIFT" "${site[@]}" audit ledger
refuse "and a receipt from before shows that the old one is gone" 4 ledger-cut \
  "${site[@]}" audit ledger --head receipt-3.jsonl

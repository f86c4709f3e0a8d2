#!/usr/bin/env bash
# Trust documents are checked with stock tools alone; the QR code of a beacon is read by zbarimg, byte for byte.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/56-trust
mkdir -p "$here"
cp "$ROOT"/testdata/demo/* "$here"
cd "$here"
export SEALIFT_HOME=$here/home
for name in alice bob; do
  "$SEALIFT" -q key generate -o $name.key --no-passphrase --algorithm ecdsa-p256 >$name.pub
done
"$SEALIFT" -q key generate -o carol.key --no-passphrase >carol.pub

# --- trust documents -----------------------------------------------------------------------------

check "a first document" "$SEALIFT" trust init --out trust --channel prod \
  --key root:alice=alice.pub --key root:carol=carol.pub --key release:bob=bob.pub
fingerprint=$("$SEALIFT" trust show trust --output json | jq -r '.documents[-1].fingerprint')
for name in alice carol; do
  check "$name signs" "$SEALIFT" trust sign trust --key $name.key --fingerprint "$fingerprint"
done
note=trust/0001.trust
sed '/^$/,$d' $note >body
equal "the fingerprint is the SHA-256 of the text" "$fingerprint" "$(digest_of body)"
signature_of() { # signature_of NAME: its signature, as the note has it
  local id
  id=$("$SEALIFT" key public "$1.key" --output json | jq -r .key_id)
  sed -n "s/^signature $id //p" $note | base64 -d >"$1.sig"
}
signature_of alice
signature_of carol
check "openssl accepts the ECDSA signature" openssl dgst -sha256 -verify alice.pub -signature alice.sig body
check "openssl accepts the Ed25519 signature" \
  openssl pkeyutl -verify -pubin -inkey carol.pub -rawin -in body -sigfile carol.sig
sed 's/"epoch": 1/"epoch": 2/' body >other
if openssl dgst -sha256 -verify alice.pub -signature alice.sig other >/dev/null 2>&1; then
  not_ok "openssl accepts another text"
else
  ok "openssl refuses another text"
fi

# --- beacons -------------------------------------------------------------------------------------

sed -i 's/^version = .*/&\nchannel = "prod"\ntrust = "trust"/' sealift.toml
check "a bundle" "$SEALIFT" build --key bob.key --out media
check "a beacon" "$SEALIFT" trust beacon --bundle media/demo-1.0 --key bob.key -o beacon --qr beacon.svg
# zbarimg reads no SVG: the squares of the path become pixels.
python3 - beacon.svg beacon.pgm <<'PYTHON'
import re, sys
svg = open(sys.argv[1]).read()
width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
pixels = bytearray(b"\xff" * (width * height))
for x, y, w, h in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)", svg):
    for row in range(int(y), int(y) + int(h)):
        at = row * width + int(x)
        pixels[at:at + int(w)] = bytes(int(w))
with open(sys.argv[2], "wb") as out:
    out.write(b"P5 %d %d 255\n" % (width, height) + pixels)
PYTHON
zbarimg --quiet --raw -Sbinary beacon.pgm >scanned || true
check "zbarimg reads the beacon, byte for byte" cmp beacon scanned

#!/usr/bin/env bash
# The commands of VERIFY.txt, run as printed with stock tools, accept a bundle and refuse tampered ones; so
# does `sealift verify`. What the volumes hold is an OCI layout that other tools read.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/20-verify-recipe
whole_bundle
small_bundle

# recipe BUNDLE: the commands of the *sender's* VERIFY.txt (one on the media may be forged), in the bundle
recipe() {
  rm -rf "$here/out"
  (cd "$1" && env -i PATH="$PATH" HOME="$HOME" KEY="$PUB" OUT="$here/out" bash -e "$here/recipe.sh")
}
sed -n 's/^    //p' "$SMALL/VERIFY.txt" >"$here/recipe.sh"
check "VERIFY.txt holds commands" grep -q openssl "$here/recipe.sh"
check "the recipe accepts a bundle of several volumes" recipe "$SMALL"
check "the extracted volumes are an OCI layout" test -e "$here/out/oci-layout" -a -e "$here/out/index.json"

# --- tampering -----------------------------------------------------------------------------------

# fresh: a copy of the bundle in $copy; change it, then `refused` shows that both refuse
copy=$here/copy
fresh() {
  rm -rf "$copy"
  cp -r "$SMALL" "$copy"
}
flip() { # flip FILE OFFSET: another byte there
  python3 -c '
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)[0]
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte ^ 1]))' "$1" "$2"
}
refused() { # refused NAME CODE REASON
  refuse "$1: verify refuses" "$2" "$3" verify "$copy" --key "$PUB"
  if recipe "$copy" >"$here/recipe.log" 2>&1; then
    not_ok "$1: the recipe accepts"
  else
    ok "$1: the recipe refuses"
  fi
}
sums_line() { # sums_line FILE: writes its present hash into SHA256SUMS, as somebody without the key could
  sed -i "s|^[0-9a-f]\{64\}  $1\$|$(digest_of "$copy/$1")  $1|" "$copy/SHA256SUMS"
}

fresh; flip "$copy/volumes/0001.tar.zst" 100000
refused "a byte of a volume changed" 4 chunk-damaged
fresh; truncate -s -1 "$copy/volumes/0002.tar.zst"
refused "a volume cut by one byte" 4 truncated
fresh; printf '\0' >>"$copy/volumes/0002.tar.zst"
refused "a byte behind a volume" 4 size-mismatch
fresh; rm "$copy/volumes/0002.tar.zst"
refused "a volume missing" 4 volume-missing
fresh; mv "$copy/volumes/0001.tar.zst" "$here/one"; mv "$copy/volumes/0002.tar.zst" "$copy/volumes/0001.tar.zst"
mv "$here/one" "$copy/volumes/0002.tar.zst"
refused "two volumes swapped" 4 volume-of-other-bundle
fresh; echo hello >"$copy/volumes/0099.tar.zst"
refused "a volume too many" 7 file-extra
# Two lines for sort and uniq, which take one for the other.
fresh; echo hello >"$copy/$(printf 'a.txt\nxxa.txt')"
refused "a file too many, with a line feed in its name" 7 file-extra
fresh; echo hello >"$copy/signatures/notes.sig"
refused "a file too many among the signatures" 7 file-extra
fresh; ln -s /etc/passwd "$copy/notes.txt"
refused "a link too many" 7 file-special
fresh; sed -i 's/sequence=1/sequence=2/' "$copy/SHA256SUMS"
refused "another sequence in SHA256SUMS" 5 signature-invalid
fresh; sed -i 's/"small"/"large"/' "$copy/bundle.json"; sums_line bundle.json
refused "bundle.json and its line changed" 5 signature-invalid
fresh; echo 'image,evil,1,,,,,' >>"$copy/inventory.csv"
refused "a line more in inventory.csv" 4 file-damaged
fresh; flip "$copy/chunks.bin" 3
refused "a chunk hash changed" 4 file-damaged
fresh; rm "$copy"/signatures/*
refused "no signature" 5 signature-missing
fresh; flip "$(echo "$copy"/signatures/*.sig)" 10
refused "a signature changed" 5 signature-invalid
fresh
openssl genpkey -quiet -algorithm ed25519 -out "$here/other.pem"
echo '# signed by another' >>"$copy/SHA256SUMS"
openssl pkeyutl -sign -rawin -inkey "$here/other.pem" -in "$copy/SHA256SUMS" -out "$(echo "$copy"/signatures/*.sig)"
refused "signed again by another key" 5 signature-invalid
fresh
refuse "no key given" 5 no-key verify "$copy"
openssl pkey -in "$here/other.pem" -pubout -out "$here/other.pub" 2>/dev/null
refuse "another key given" 5 signature-untrusted verify "$copy" --key "$here/other.pub"
check "the untouched copy verifies" "$SEALIFT" verify "$copy" --key "$PUB"
chmod -R a-w "$copy"
check "so it does on a read-only medium" "$SEALIFT" verify "$copy" --key "$PUB"
chmod -R u+w "$copy"

# --- openssl's keys and ours are the same thing, of both kinds, encrypted or not -------------------

# same NAME PRIVATE [SECRET]: openssl and sealift give the same public key
same() {
  openssl pkey -in "$2" ${3:+-passin "pass:$3"} -pubout -out "$here/by-openssl.pub"
  SEALIFT_KEY_PASSPHRASE=${3:-} "$SEALIFT" key public "$2" >"$here/by-sealift.pub"
  check "$1" cmp "$here/by-openssl.pub" "$here/by-sealift.pub"
}
umask 077
same "our key of this run" "$KEY"
for algorithm in ed25519 ecdsa-p256; do
  own=$here/$algorithm.pem
  SEALIFT_KEY_PASSPHRASE=canary "$SEALIFT" key generate --algorithm "$algorithm" -o "$own" --quiet >/dev/null
  same "our encrypted key, $algorithm" "$own" canary
  case $algorithm in
    ed25519) openssl genpkey -quiet -algorithm ed25519 -out "$here/plain.pem" ;;
    *) openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$here/plain.pem" ;;
  esac
  same "openssl's key, $algorithm" "$here/plain.pem"
  openssl pkcs8 -topk8 -scrypt -in "$here/plain.pem" -passout pass:canary -out "$here/scrypt.pem"
  same "openssl's key under scrypt, $algorithm" "$here/scrypt.pem" canary
  openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in "$here/plain.pem" -passout pass:canary -out "$here/pbkdf2.pem"
  same "openssl's key under PBKDF2, $algorithm" "$here/pbkdf2.pem" canary
done
umask 022

# --- ECDSA P-256: the same recipe ----------------------------------------------------------------

fresh
"$SEALIFT" key public "$here/plain.pem" >"$here/p256.pub"
check "a P-256 key of openssl's signs as well" \
  "$SEALIFT" sign "$copy" --key "$here/plain.pem" --digest "$(digest_of "$copy/SHA256SUMS")" --home "$here/home"
sender=$PUB PUB=$here/p256.pub
check "the recipe accepts its signature" recipe "$copy"
check "so does sealift" "$SEALIFT" verify "$copy" --key "$PUB"
signature=$copy/signatures/$(openssl pkey -pubin -in "$PUB" -outform DER | sha256sum | cut -c 1-32).sig
cp "$signature" "$here/whole.sig"
truncate -s -1 "$signature"
refused "P-256: a signature cut by one byte" 5 signature-invalid
# Only sealift: openssl reads no more of the file than a signature can have, and every fourth one has as much.
cp "$here/whole.sig" "$signature"
printf '\0' >>"$signature"
refuse "P-256: a byte behind the signature" 5 signature-invalid verify "$copy" --key "$PUB"
openssl dgst -sha256 -sign "$here/plain.pem" -out "$signature" "$copy/SHA256SUMS"
check "openssl's own signature is taken" "$SEALIFT" verify "$copy" --key "$PUB"
openssl dgst -sha256 -sign "$here/plain.pem" -out "$signature" "$copy/bundle.json"
refused "P-256: the signature of another text" 5 signature-invalid
PUB=$sender

# --- other people's tools on the extracted layout ------------------------------------------------

sed -n 's/^    //p' "$BUNDLE/VERIFY.txt" >"$here/recipe.sh"
check "the recipe accepts the whole bundle" recipe "$BUNDLE"
layout=$here/out
for reference in library/debian:12.1 team/python-app:1.0; do
  check "skopeo copies $reference from the layout" \
    skopeo copy -q --dest-tls-verify=false "oci:$layout:$UPSTREAM/$reference" "docker://$DEST/by-skopeo/$reference"
  equal "$reference by skopeo is upstream's" \
    "$(raw "$UPSTREAM" "$reference" | sha256sum)" "$(raw "$DEST" "by-skopeo/$reference" | sha256sum)"
done
check "skopeo copies the index with all its platforms" skopeo copy -q --all --dest-tls-verify=false \
  "oci:$layout:$UPSTREAM/library/debian:multi" "docker://$DEST/by-skopeo/debian:multi"
check "crane pushes the whole layout" crane push --insecure --index "$layout" "$DEST/by-crane/all:1.0"
oras_lists() { oras repo tags --oci-layout "$layout" | grep -F "$1"; }
check "oras lists its references" oras_lists "$UPSTREAM/team/go-app:1.0"

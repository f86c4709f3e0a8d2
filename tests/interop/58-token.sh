#!/usr/bin/env bash
# Keys on a token, here SoftHSM: made with pkcs11-tool, used by `build` and `sign`, checked by sealift and openssl;
# every wrong name and PIN has its reason, and no PIN is printed or seen in the list of processes.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/58-token
mkdir -p "$here/tokens"
cd "$here"
module=/usr/lib/softhsm/libsofthsm2.so
export SOFTHSM2_CONF=$here/softhsm2.conf SEALIFT_HOME=$here/home
printf 'directories.tokendir = %s\n' "$here/tokens" >"$SOFTHSM2_CONF"
pin=4711471147

# token LABEL: a new token with a PIN
token() { softhsm2-util --init-token --free --label "$1" --so-pin 12345678 --pin "$pin" >>"$here/softhsm.log"; }
# tool TOKEN ARGUMENT...: pkcs11-tool, logged in
tool() { pkcs11-tool --module "$module" --token-label "$1" --login --pin "$pin" "${@:2}" >>"$here/tool.log" 2>&1; }
# uri TOKEN KEY [MORE]: the name of a key
uri() { echo "pkcs11:token=$1;$2?module-path=$module${3-&pin-source=file:$here/pin}"; }
id_of() { openssl pkey -pubin -in "$1" -outform DER | sha256sum | cut -c 1-32; }

token release
token approver
tool release --keypairgen --key-type EC:edwards25519 --label main --id 01
tool approver --keypairgen --key-type EC:prime256v1 --label main --id 01
umask 077
echo "$pin" >pin
echo 47114711 >wrong-pin
umask 022

# --- keys ------------------------------------------------------------------------------------------

for who in release approver; do
  check "the public key of $who comes from the token" "$SEALIFT" key public "$(uri "$who" object=main)"
  "$SEALIFT" key public "$(uri "$who" object=main)" >"$who.pub"
  pkcs11-tool --module "$module" --token-label "$who" --read-object --type pubkey --label main >"$who.der" 2>/dev/null
done
# pkcs11-tool 0.23 writes Edwards keys in a form of its own; P-256 is the standard one.
openssl pkey -pubin -inform DER -in approver.der -out approver.by-tool.pub
check "pkcs11-tool and sealift read the same P-256 key" cmp approver.pub approver.by-tool.pub

# --- build, sign, verify ---------------------------------------------------------------------------

cp "$ROOT/testdata/demo/"* .
bundle=stick/demo-1.0
check "a token signs a build, Ed25519" "$SEALIFT" build --key "$(uri release object=main)" -o stick
digest=$(digest_of "$bundle/SHA256SUMS")
refuse "sign shows and does not sign" 2 digest-unconfirmed sign "$bundle" --key "$(uri approver id=%01)"
check "another token signs beside it, P-256" "$SEALIFT" sign "$bundle" --key "$(uri approver id=%01)" --digest "${digest:0:8}"
check "sealift verifies both" "$SEALIFT" verify "$bundle" --key release.pub --key approver.pub
check "openssl verifies the Ed25519 signature" openssl pkeyutl -verify -pubin -inkey release.pub -rawin \
  -in "$bundle/SHA256SUMS" -sigfile "$bundle/signatures/$(id_of release.pub).sig"
check "openssl verifies the P-256 signature" openssl dgst -sha256 -verify approver.pub \
  -signature "$bundle/signatures/$(id_of approver.pub).sig" "$bundle/SHA256SUMS"

tool release --keypairgen --key-type EC:prime256v1 --label second --id 02
check "two keys of one token in one command" "$SEALIFT" build -o both \
  --key "$(uri release object=main)" --key "$(uri release object=second)"
check "both signed" test "$(find both/demo-1.0/signatures -name '*.sig' | wc -l)" = 2

# --- the PIN ---------------------------------------------------------------------------------------

ask=$(uri release object=main '')
with_variable() { SEALIFT_KEY_PASSPHRASE=$pin "$SEALIFT" key public "$ask"; }
check "the PIN from the variable" with_variable
check "the PIN from --passphrase-file" "$SEALIFT" key public "$ask" --passphrase-file pin
refuse "no PIN and no terminal" 2 key-passphrase key public "$ask"
refuse "a wrong PIN" 2 token-pin key public "$ask" --passphrase-file wrong-pin
refuse "a wrong PIN in pin-source" 2 token-pin key public "$(uri release object=main "&pin-source=$here/wrong-pin")"
refuse "a PIN in the URI" 2 token-uri key public "$ask&pin-value=$pin"
chmod 644 wrong-pin
refuse "a PIN that others can read" 2 key-permissions key public "$(uri release object=main "&pin-source=$here/wrong-pin")"
no_pin_printed() { ! "$SEALIFT" sign "$bundle" --key "$(uri release object=main)" --verbose --output json 2>&1 | grep -F "$pin"; }
check "no PIN is printed" no_pin_printed
no_pin_kept() { ! grep -rF "$pin" "$SEALIFT_HOME" stick both; }
check "no PIN is kept" no_pin_kept

# --- names -----------------------------------------------------------------------------------------

refuse "no such token" 3 token-not-found key public "$(uri nobody object=main)"
refuse "no such key" 2 token-key key public "$(uri release object=nothing)"
refuse "no such module" 3 token-module key public "pkcs11:token=release;object=main?module-path=/none.so"
refuse "a module that is no library" 3 token-module key public "pkcs11:token=release;object=main?module-path=$here/pin"
refuse "a library that is no module" 3 token-module key public \
  "pkcs11:token=release;object=main?module-path=$(ldconfig -p | awk '/libz\.so\.1 /{print $NF; exit}')"
refuse "an attribute that nobody knows" 2 token-uri key public "$(uri release 'object=main;colour=red')"
tool release --keypairgen --key-type EC:prime256v1 --label twin --id 03
tool release --keypairgen --key-type EC:prime256v1 --label twin --id 04
refuse "two keys of one name" 2 token-ambiguous key public "$(uri release object=twin)"
check "the id tells them apart" "$SEALIFT" key public "$(uri release 'object=twin;id=%04')"
tool release --keypairgen --key-type EC:secp384r1 --label curve --id 05
refuse "a key on another curve" 2 key-format key public "$(uri release object=curve)"
tool release --keypairgen --key-type RSA:2048 --label rsa --id 06
refuse "a key of another kind" 2 token-key key public "$(uri release object=rsa)"
tool release --delete-object --type pubkey --label second
refuse "a key without its public half" 2 token-key key public "$(uri release object=second)"
token twins
token twins
refuse "two tokens of one name" 2 token-ambiguous key public "$(uri twins object=main)"

#!/usr/bin/env bash
# Signatures of images: what cosign 2 and 3 sign upstream, by key and by identity, is asked for and found; what
# `import --sign-key` signs is accepted by cosign 2 and 3, and by podman under a policy, which has the library of CRI-O and skopeo.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/55-cosign
upstream=$UPSTREAM/cosign
export COSIGN_PASSWORD=

# --- upstream ------------------------------------------------------------------------------------

(cd "$here" && cosign2 generate-key-pair >/dev/null 2>&1 && mv cosign.key vendor.key && mv cosign.pub vendor.pub)
(cd "$here" && cosign2 generate-key-pair >/dev/null 2>&1)
for name in legacy bundle unsigned stranger altered keyless keyless-legacy; do
  skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$UPSTREAM/team/go-app:1.0" \
    "docker://$upstream/$name:1"
done
digest=sha256:$(raw "$upstream" legacy:1 | sha256sum | cut -d' ' -f1)

sign2() { cosign2 sign --key "$1" --tlog-upload=false -y "$2"; }
sign3() { cosign3 sign --key "$1" --tlog-upload=false --use-signing-config=false -y "$2"; }
check "cosign 2 signs upstream, in the legacy form" sign2 "$here/vendor.key" "$upstream/legacy@$digest"
check "cosign 3 signs upstream, a bundle" sign3 "$here/vendor.key" "$upstream/bundle@$digest"
check "a stranger signs" sign2 "$here/cosign.key" "$upstream/stranger@$digest"

# altered: the vendor's signature of this image stands at the tag of another one
jq -c '.mediaType = "application/vnd.oci.image.manifest.v1+json" | .annotations.altered = "yes"' \
  <(raw "$UPSTREAM" team/go-app:1.0) >"$here/altered.json"
oras manifest push --plain-http "$upstream/altered:1" "$here/altered.json" >/dev/null
altered=sha256:$(digest_of "$here/altered.json")
skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$upstream/legacy:${digest/:/-}.sig" \
  "docker://$upstream/altered:${altered/:/-}.sig"

identity=release@example.com issuer=https://issuer.example.com
check "a Sigstore of our own signs by identity" keyless "$digest" "$identity" "$issuer" "$here"
bundle=application/vnd.dev.sigstore.bundle.v0.3+json
(cd "$here" && oras attach --plain-http --artifact-type $bundle "$upstream/keyless:1" "bundle.json:$bundle" >/dev/null)
jq -n --rawfile signature "$here/signature" --rawfile certificate "$here/certificate.pem" --rawfile log "$here/set.json" \
  '{"payload.json": {"dev.cosignproject.cosign/signature": $signature,
    "dev.sigstore.cosign/certificate": $certificate, "dev.sigstore.cosign/bundle": $log}}' >"$here/annotations.json"
echo '{}' >"$here/config.json"
(cd "$here" && oras push --plain-http "$upstream/keyless-legacy:${digest/:/-}.sig" \
  --config config.json:application/vnd.oci.image.config.v1+json --annotation-file annotations.json \
  payload.json:application/vnd.dev.cosign.simplesigning.v1+json >/dev/null)

# --- lock and build ------------------------------------------------------------------------------

# manifest NAME VERIFY: asks for one image with this `verify`, in $here/NAME.toml
manifest() {
  {
    printf '[bundle]\nname = "%s"\nversion = "1"\n\n[[images]]\nimage = "%s/%s:1"\nverify = { %s }\n' \
      "$1" "$upstream" "${3:-$1}" "$2"
    plain_http "$UPSTREAM"
  } >"$here/$1.toml"
}
by_key='keys = ["vendor.pub"]'
by_identity() { printf 'identity = "%s", issuer = "%s", trusted_root = "trusted_root.json"' "$1" "$2"; }
outcome() { jq -r '.images[0] | .outcome + " " + .by[0].form' "$here/media/$1-1/evidence/signatures.json"; }

for pair in legacy=legacy bundle=bundle keyless=bundle keyless-legacy=legacy; do
  name=${pair%%=*} form=${pair##*=}
  case $name in
    keyless*) manifest "$name" "$(by_identity $identity $issuer)" ;;
    *) manifest "$name" "$by_key" ;;
  esac
  check "lock accepts $name" "$SEALIFT" lock -f "$here/$name.toml" --home "$WORK/cache"
  check "build accepts $name" \
    "$SEALIFT" build -f "$here/$name.toml" --home "$WORK/cache" -o "$here/media" --key "$KEY"
  equal "$name is recorded as verified" "verified $form" "$(outcome "$name")"
done
manifest unsigned "$by_key"
manifest stranger "$by_key"
manifest altered "$by_key"
manifest wrong-identity "$(by_identity someone@example.com $issuer)" keyless
manifest wrong-issuer "$(by_identity $identity https://other.example.com)" keyless-legacy
for pair in unsigned=upstream-unsigned stranger=upstream-signature altered=upstream-signature \
  wrong-identity=upstream-signature wrong-issuer=upstream-signature; do
  name=${pair%%=*}
  refuse "lock refuses: $name" 5 "${pair##*=}" lock -f "$here/$name.toml" --home "$WORK/cache"
  refuse "build refuses: $name" 5 "${pair##*=}" build -f "$here/$name.toml" --home "$WORK/cache" \
    -o "$here/media" --key "$KEY"
done

# --- the site's signatures -----------------------------------------------------------------------

"$SEALIFT" key generate --algorithm ecdsa-p256 -o "$here/site.key" --no-passphrase --quiet >"$here/site.pub"
echo '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' >"$here/no-root.json"
for name in legacy bundle; do
  check "import signs $name into a registry" "$SEALIFT" import "$here/media/$name-1" --key "$PUB" --to "$DEST/site" \
    --plain-http --sign-key "$here/site.key"
  check "import signs $name into the home" "$SEALIFT" import "$here/media/$name-1" --key "$PUB" \
    --home "$here/site" --sign-key "$here/site.key"
done
serve "$here/site" "$here/serve.log"
inside=$(inside "$upstream")

# offline: cosign 2 is given a trusted root with nobody in it, else it asks the network for one
verify2() { cosign2 verify --key "$1" --insecure-ignore-tlog=true --trusted-root "$here/no-root.json" "$2"; }
verify3() { cosign3 verify --key "$1" --insecure-ignore-tlog=true "$2"; }
verify3_legacy() { cosign3 verify --key "$1" --insecure-ignore-tlog=true --new-bundle-format=false "$2"; }
for place in "$DEST/site/$inside" "$SERVED/$inside"; do
  for name in legacy bundle; do
    for verify in verify2 verify3 verify3_legacy; do
      check "$verify accepts $name by the site" $verify "$here/site.pub" "$place/$name:1"
      check "$verify does not accept $name by another key" not $verify "$here/cosign.pub" "$place/$name:1"
    done
  done
  check "upstream's legacy signature stays beside the site's" verify3_legacy "$here/vendor.pub" "$place/legacy:1"
  check "upstream's bundle stays beside the site's" verify3 "$here/vendor.pub" "$place/bundle:1"
done

# an altered image that somebody puts into the registry, with the signature of the good one
skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$DEST/site/$inside/legacy:1" \
  "docker://$DEST/site/$inside/forged:1"
oras manifest push --plain-http "$DEST/site/$inside/forged:1" "$here/altered.json" >/dev/null
skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$DEST/site/$inside/legacy:${digest/:/-}.sig" \
  "docker://$DEST/site/$inside/forged:${altered/:/-}.sig"
for verify in verify2 verify3; do
  check "$verify refuses an altered image" not $verify "$here/site.pub" "$DEST/site/$inside/forged:1"
done

# --- podman under a policy -------------------------------------------------------------------------

# As an administrator writes it: who must have signed what comes from where, and where the signatures lie. Debian's
# podman is built without Sigstore ("Debian-local change: sigstore disabled"), so this one is built from its source.
mkdir -p "$here/person/.config/containers/registries.d"
cat >"$here/person/.config/containers/policy.json" <<END
{ "default": [{ "type": "reject" }],
  "transports": { "docker": {
    "$DEST/site": [{ "type": "sigstoreSigned", "keyPath": "$here/site.pub",
      "signedIdentity": { "type": "matchRepository" } }],
    "$SERVED/$inside/legacy": [{ "type": "sigstoreSigned", "keyPath": "$here/site.pub",
      "signedIdentity": { "type": "exactRepository", "dockerRepository": "$upstream/legacy" } }],
    "$SERVED/$inside/bundle": [{ "type": "sigstoreSigned", "keyPath": "$here/site.pub",
      "signedIdentity": { "type": "exactRepository", "dockerRepository": "$upstream/bundle" } }] } } }
END
printf 'default-docker:\n  use-sigstore-attachments: true\n' \
  >"$here/person/.config/containers/registries.d/default.yaml"
# podman allows 50 bytes only for the folder of what runs
short=$(mktemp -d)
trap 'stop_all; rm -rf "$short"' EXIT
podman() {
  HOME=$here/person PODMAN_IGNORE_CGROUPSV1_WARNING=1 \
    podman5 --root "$here/podman" --runroot "$short" --storage-driver vfs "$@"
}
pull() { podman pull --quiet --tls-verify=false "$1"; }
# pulled NAME REFERENCE: podman takes it, and has the very image that upstream has
pulled() {
  check "$1" pull "$2"
  equal "$1: upstream's image" "$digest" "$(podman image inspect --format '{{.Digest}}' "$2" || true)"
}
# refused NAME REFERENCE WORDS: not pulled, and for this reason
refused() {
  local found
  found=$(pull "$2" 2>&1 >/dev/null || true)
  if [[ $found == *"$3"* ]]; then ok "$1"; else not_ok "$1: $found"; fi
}
for place in "$DEST/site/$inside" "$SERVED/$inside"; do
  for name in legacy bundle; do pulled "podman pulls $name under a policy" "$place/$name:1"; done
done
refused "podman refuses an altered image" "$DEST/site/$inside/forged:1" rejected
skopeo copy -q --src-tls-verify=false --dest-tls-verify=false "docker://$upstream/unsigned:1" \
  "docker://$DEST/site/$inside/plain:1"
refused "podman refuses an image without a signature" "$DEST/site/$inside/plain:1" "no signature exists"

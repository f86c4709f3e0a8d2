#!/usr/bin/env bash
# The whole way: lock, build, verify, import into another registry and into the home store; what is pulled
# inside is what was upstream, byte for byte.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/10-roundtrip
whole_manifest "$here/sealift.toml"
check lock "$SEALIFT" lock -f "$here/sealift.toml" --home "$WORK/cache"
check "lock --check finds nothing" "$SEALIFT" lock -f "$here/sealift.toml" --home "$WORK/cache" --check
check build whole_bundle
whole_bundle
check verify "$SEALIFT" verify "$BUNDLE" --key "$PUB"
check inspect "$SEALIFT" inspect "$BUNDLE"
inspect_json() { "$SEALIFT" inspect "$BUNDLE" --output json | jq -e .schema; }
check "inspect prints JSON" inspect_json
check "diff of a bundle with itself" "$SEALIFT" diff "$BUNDLE" "$BUNDLE"

check "import into distribution" \
  "$SEALIFT" import "$BUNDLE" --key "$PUB" --to "$DEST/mirror" --plain-http
check "import into the home store" "$SEALIFT" import "$BUNDLE" --key "$PUB" --home "$RUN/site"
check "the same import again" "$SEALIFT" import "$BUNDLE" --key "$PUB" --home "$RUN/site"
check "the same import into distribution again" \
  "$SEALIFT" import "$BUNDLE" --key "$PUB" --to "$DEST/mirror" --plain-http
serve "$RUN/site" "$here/serve.log"

# same NAME REFERENCE: the manifest upstream, in distribution and in our registry
same() {
  local name
  name=$(inside "$UPSTREAM/$2")
  raw "$UPSTREAM" "$2" >"$here/upstream"
  raw "$DEST" "mirror/$name" >"$here/distribution" || true
  raw "$SERVED" "$name" >"$here/served" || true
  equal "$1 in distribution" "$(digest_of "$here/upstream")" "$(digest_of "$here/distribution")"
  equal "$1 from serve" "$(digest_of "$here/upstream")" "$(digest_of "$here/served")"
}

for reference in library/debian:12.0 library/debian:12.1 library/debian:multi team/python-app:1.0 \
  team/python-app:1.1 team/go-app:1.0 charts/web:1.0.0; do
  same "$reference" "$reference"
done
for digest in $(raw "$UPSTREAM" library/debian:multi | jq -r '.manifests[].digest'); do
  same "child ${digest:7:12} of the index" "library/debian@$digest"
done

# every blob, as another client reads and hashes it
for reference in library/debian:multi team/python-app:1.1 team/go-app:1.0; do
  name=$(inside "$UPSTREAM/$reference")
  check "crane validates $reference from serve" crane validate --insecure --remote "$SERVED/$name"
  check "crane validates $reference in distribution" crane validate --insecure --remote "$DEST/mirror/$name"
done
check "skopeo copies the index and its children" \
  skopeo copy -q --all --src-tls-verify=false "docker://$SERVED/$(inside "$UPSTREAM/library/debian:multi")" "dir:$here/multi"

# signature and SBOM
hex=$(raw "$UPSTREAM" team/go-app:1.0 | sha256sum | cut -d' ' -f1)
same "cosign's .sig tag" "team/go-app:sha256-$hex.sig"
app=$(inside "$UPSTREAM/team/go-app")
for pair in "team/go-app $hex" "library/debian $(raw "$UPSTREAM" library/debian:multi | sha256sum | cut -d' ' -f1)"; do
  read -r repository subject <<<"$pair"
  sbom=$(raw "$UPSTREAM" "$repository:sha256-$subject" | jq -r '.manifests[0].digest')
  found=$(curl -s "http://$SERVED/v2/$(inside "$UPSTREAM/$repository")/referrers/sha256:$subject" |
    jq -r '.manifests[] | select(.artifactType == "application/spdx+json") | .digest')
  equal "referrers of $repository from serve" "$sbom" "$found"
  found=$(raw "$DEST" "mirror/$(inside "$UPSTREAM/$repository"):sha256-$subject" |
    jq -r '.manifests[] | select(.artifactType == "application/spdx+json") | .digest')
  equal "fallback tag of $repository in distribution" "$sbom" "$found"
  same "the SBOM of $repository" "$repository@$sbom"
done
found=$(oras discover --plain-http --format json --artifact-type application/spdx+json "$SERVED/$app:1.0" |
  jq -r '(.manifests // .referrers) | length')
equal "oras discovers the SBOM" 1 "$found"

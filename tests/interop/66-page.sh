#!/usr/bin/env bash
# The page for people in headless Chromium, over TLS: what was pushed by skopeo, crane, oras, helm and cosign is browsed,
# filtered and read. Screenshots go to target/screenshots.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/66-page
mkdir -p "$here/certs"
for account in alice bob; do
  "$SEALIFT" account add "$account" --home "$here/site" >"$here/$account" 2>>"$here/account.log"
done
"$SEALIFT" account group add alice operators --home "$here/site" >>"$here/account.log" 2>&1
cat >"$here/rules.toml" <<'RULES'
schema = 1
[[grant]]
to = ["group:operators"]
repositories = ["**"]
may = ["pull", "push", "tag", "delete"]
[[grant]]
to = ["anyone"]
repositories = ["apps/**", "base/**", "charts/**", "zoo/**"]
may = ["pull"]
RULES
"$SEALIFT" rules set "$here/rules.toml" --home "$here/site" >"$here/rules.log" 2>&1
serve_tls "$here/site" "$here/serve.log"
ca=$here/site/tls/ca.pem
cp "$ca" "$here/certs/ca.crt"
alice=$(cat "$here/alice")

# --- what is there -------------------------------------------------------------------------------

export SSL_CERT_FILE=$ca DOCKER_CONFIG=$here/docker HELM_REGISTRY_CONFIG=$here/docker/config.json
crane auth login "$SERVED" -u alice -p "$alice" 2>"$here/crane.log"
copy() {
  skopeo copy -q --src-tls-verify=false --dest-cert-dir "$here/certs" --dest-creds "alice:$alice" "${@:3}" \
    "docker://$UPSTREAM/$1" "docker://$SERVED/$2"
}
fill() {
  copy library/debian:multi base/debian:13 --all
  copy library/debian:12.0 base/debian:12.0
  # A tag that moves.
  copy team/python-app:1.0 apps/python-app:stable
  copy team/python-app:1.1 apps/python-app:1.1
  copy team/python-app:1.1 apps/python-app:stable
  # Labels, a signature, an SBOM and findings.
  copy team/go-app:1.0 apps/go-app:1.0
  crane mutate "$SERVED/apps/go-app:1.0" --label env=production --label org.opencontainers.image.vendor='Example & Sons' \
    --annotation org.opencontainers.image.source=https://git.example/go-app -t "$SERVED/apps/go-app:1.0"
  local signed
  signed=$SERVED/apps/go-app@$(crane digest "$SERVED/apps/go-app:1.0")
  (cd "$here" && COSIGN_PASSWORD=x cosign3 generate-key-pair)
  COSIGN_PASSWORD=x cosign3 sign --key "$here/cosign.key" --tlog-upload=false --use-signing-config=false --yes "$signed"
  echo '{"spdxVersion":"SPDX-2.3","name":"go-app"}' >"$here/sbom.spdx.json"
  echo '{"version":"2.1.0","runs":[]}' >"$here/findings.sarif"
  (cd "$here" && oras attach --ca-file "$ca" --artifact-type application/spdx+json "$signed" sbom.spdx.json:application/spdx+json)
  (cd "$here" && oras attach --ca-file "$ca" --artifact-type application/sarif+json "$signed" findings.sarif:application/sarif+json)
  copy team/go-app:1.0 private/payroll:1.0
  helm package "$HERE/charts/web" -d "$here"
  helm push "$here"/web-*.tgz "oci://$SERVED/charts" --ca-file "$ca"
  # More than a page of repositories.
  local number
  for number in $(seq -w 1 52); do
    crane copy "$SERVED/apps/go-app:1.0" "$SERVED/zoo/animal-$number:1"
  done
}
check "repositories are filled" fill

# --- what a browser sees -------------------------------------------------------------------------

# Debian's python3, for it knows Debian's selenium.
/usr/bin/python3 "$HERE/page.py" "https://$SERVED" "$alice" "$(cat "$here/bob")" "$ROOT/target/screenshots"
unset SSL_CERT_FILE DOCKER_CONFIG HELM_REGISTRY_CONFIG
challenge() { curl -s --cacert "$ca" -o "$here/body" -D - "https://$SERVED$1" | tr -d '\r' | sed -n 's/^www-authenticate: \([A-Za-z]*\).*/\1/ip'; }
equal "the page asks for a password" Basic "$(challenge /login)"
check "and says so where none is given" grep -q '<h1>Log in</h1>' "$here/body"
equal "the API tells where tokens are" Bearer "$(challenge /v2/private/payroll/tags/list)"

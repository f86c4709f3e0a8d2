#!/usr/bin/env bash
# Registries that ask who is there: every place from which credentials come, right and wrong; none leaks.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/40-auth
small_manifest "$here/sealift.toml" "$UPSTREAM_AUTH"
secret=s3cret

# lock_with ENVIRONMENT...: locks anew with these variables and says everything
lock_with() {
  rm -f "$here/sealift.lock"
  env "$@" "$SEALIFT" lock -f "$here/sealift.toml" --home "$here/cache" -v 2>&1 | tee -a "$here/said"
}
# docker_config FOLDER PASSWORD: as `docker login` writes it
docker_config() {
  mkdir -p "$1"
  jq -n --arg host "$UPSTREAM_AUTH" --arg auth "$(printf 'alice:%s' "$2" | base64)" \
    '{auths: {($host): {auth: $auth}}}' >"$1/config.json"
}

refuse "no credentials" 9 auth-failed lock -f "$here/sealift.toml" --home "$here/cache"

docker_config "$here/right" "$secret"
docker_config "$here/wrong" "not-$secret"
export DOCKER_CONFIG=$here/wrong
refuse "a wrong password in DOCKER_CONFIG" 9 auth-failed lock -f "$here/sealift.toml" --home "$here/cache"
unset DOCKER_CONFIG
check "the right one in DOCKER_CONFIG" lock_with DOCKER_CONFIG="$here/right"

skopeo login --tls-verify=false --authfile "$here/auth.json" -u alice -p "$secret" "$UPSTREAM_AUTH" >"$here/login"
check "REGISTRY_AUTH_FILE as skopeo login wrote it" lock_with REGISTRY_AUTH_FILE="$here/auth.json"

check "SEALIFT_REGISTRY_AUTH" lock_with SEALIFT_REGISTRY_AUTH="$UPSTREAM_AUTH=alice:$secret"
SEALIFT_REGISTRY_AUTH=$UPSTREAM_AUTH=alice:not-$secret \
  refuse "a wrong password in SEALIFT_REGISTRY_AUTH" 9 auth-failed lock -f "$here/sealift.toml" --home "$here/cache" --update

mkdir -p "$here/bin" "$here/helper"
cat >"$here/bin/docker-credential-testbed" <<END
#!/bin/sh
read -r server
[ "\$1" = get ] && [ "\$server" = "$UPSTREAM_AUTH" ] || { echo "credentials not found"; exit 1; }
printf '{"ServerURL":"%s","Username":"alice","Secret":"$secret"}' "\$server"
END
chmod +x "$here/bin/docker-credential-testbed"
jq -n --arg host "$UPSTREAM_AUTH" '{credHelpers: {($host): "testbed"}}' >"$here/helper/config.json"
check "a credential helper" lock_with PATH="$here/bin:$PATH" DOCKER_CONFIG="$here/helper"

export DOCKER_CONFIG=$here/right
check "build" "$SEALIFT" build -f "$here/sealift.toml" -o "$here" --key "$KEY" --home "$here/cache" --locked
check verify "$SEALIFT" verify "$here/small-1.0" --key "$PUB"
unset DOCKER_CONFIG
rm -rf "$here/cold"
refuse "build with a wrong password" 9 auth-failed \
  build -f "$here/sealift.toml" -o "$here/cold" --key "$KEY" --home "$here/cold-cache" --locked
check "it leaves no bundle" test ! -e "$here/cold/small-1.0"

# the destination asks too
port=$(free_port)
registry "$here/destination" "$port" "$RUN/htpasswd"
refuse "import without credentials" 9 auth-failed \
  import "$here/small-1.0" --key "$PUB" --to "127.0.0.1:$port/site" --plain-http
check "import with them" env SEALIFT_REGISTRY_AUTH="127.0.0.1:$port=alice:$secret" \
  "$SEALIFT" import "$here/small-1.0" --key "$PUB" --to "127.0.0.1:$port/site" --plain-http
equal "what was imported is upstream's" "$(raw "$UPSTREAM" team/go-app:1.0 | sha256sum)" \
  "$(skopeo inspect --raw --tls-verify=false --creds "alice:$secret" \
    "docker://127.0.0.1:$port/site/$(inside "$UPSTREAM_AUTH/team/go-app"):1.0" | sha256sum)"

# leaks PLACE...: files in which the password stands, plain or as sent
leaks() { grep -rlF -e "$secret" -e "$(printf 'alice:%s' "$secret" | base64)" "$@" | wc -l; }
equal "the password is in no message, lock, bundle or cache" 0 \
  "$(leaks "$here/said" "$here/sealift.lock" "$here/small-1.0" "$here/cache")"

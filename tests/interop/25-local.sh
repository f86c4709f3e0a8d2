#!/usr/bin/env bash
# Images that were built here: OCI layout, OCI archive, docker archive; no registry is asked.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/25-local
layout=$WORK/content/oci
skopeo copy -q "oci:$layout:go-app-1.0" "oci-archive:$here/app.tar:1.0"
skopeo copy -q "oci:$layout:go-app-1.0" "docker-archive:$here/docker.tar:registry.example.com/team/docker:1.0"
{
  printf '[bundle]\nname = "local"\nversion = "1.0"\n'
  printf '\n[[images]]\nimage = "oci:%s:python-app-1.0"\nname = "registry.example.com/team/python:1.0"\n' "$layout"
  printf '\n[[images]]\nimage = "oci-archive:app.tar"\nname = "registry.example.com/team/archive:1.0"\n'
  printf '\n[[images]]\nimage = "docker-archive:docker.tar"\n'
} >"$here/sealift.toml"
check lock "$SEALIFT" lock -f "$here/sealift.toml" --home "$here/cache"
check build "$SEALIFT" build -f "$here/sealift.toml" -o "$here" --key "$KEY" --home "$here/cache" --locked
check import "$SEALIFT" import "$here/local-1.0" --key "$PUB" --home "$here/site"
serve "$here/site" "$here/serve.log"

equal "the image of the layout keeps its digest" \
  "$(skopeo inspect --raw "oci:$layout:python-app-1.0" | sha256sum)" \
  "$(raw "$SERVED" registry.example.com/team/python:1.0 | sha256sum)"
equal "the image of the OCI archive keeps its digest" \
  "$(skopeo inspect --raw "oci-archive:$here/app.tar:1.0" | sha256sum)" \
  "$(raw "$SERVED" registry.example.com/team/archive:1.0 | sha256sum)"
check "skopeo pulls the image of the docker archive" skopeo copy -q --src-tls-verify=false \
  "docker://$SERVED/registry.example.com/team/docker:1.0" "dir:$here/pulled"
# a docker archive has no manifest of its own; the configuration is what stays the same
equal "the configuration of the docker archive stays" \
  "$(skopeo inspect --config --raw "docker-archive:$here/docker.tar" | sha256sum)" \
  "$(skopeo inspect --config --raw --tls-verify=false "docker://$SERVED/registry.example.com/team/docker:1.0" | sha256sum)"

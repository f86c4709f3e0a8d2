#!/usr/bin/env bash
# containerd and podman, each with storage of its own, pull from `sealift serve`.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/60-containerd-podman
whole_bundle
check "import" "$SEALIFT" import "$BUNDLE" --key "$PUB" --home "$here/site"
serve "$here/site" "$here/serve.log"
debian=$SERVED/$(inside "$UPSTREAM/library/debian")
go_app=$SERVED/$(inside "$UPSTREAM/team/go-app")

# a path of a socket may have 107 bytes only, podman's folder for what runs 50
short=$(mktemp -d)
socket=$short/sock
cat >"$here/containerd.toml" <<END
version = 2
root = "$here/containerd/root"
state = "$here/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$socket"
END
start "$here/containerd.log" containerd --config "$here/containerd.toml"
containerd=$!
until_true 30 ctr -a "$socket" version
check "ctr pulls an image and unpacks it" ctr -a "$socket" images pull --plain-http --snapshotter native "$debian:12.0"
check "ctr pulls an index with all platforms" \
  ctr -a "$socket" images pull --plain-http --snapshotter native --all-platforms "$debian:multi"
upstream=sha256:$(raw "$UPSTREAM" library/debian:multi | sha256sum | cut -d' ' -f1)
equal "containerd knows the index by upstream's digest" "$upstream" \
  "$(ctr -a "$socket" images ls | awk -v name="$debian:multi" '$1 == name { print $3 }')"
stop "$containerd"

podman() { command podman --root "$here/podman/root" --runroot "$short/run" --storage-driver vfs "$@"; }
check "podman pulls" podman pull --tls-verify=false "$go_app:1.0"
upstream=sha256:$(raw "$UPSTREAM" team/go-app:1.0 | sha256sum | cut -d' ' -f1)
equal "podman knows the image by upstream's digest" "$upstream" \
  "$(podman image inspect --format '{{.Digest}}' "$go_app:1.0" || true)"
check "podman pulls by digest" podman pull --tls-verify=false "$go_app@$upstream"
check "podman pulls one platform of an index" podman pull --tls-verify=false --platform linux/arm64 "$debian:multi"
rm -rf "$short"

#!/usr/bin/env bash
# The sessions of the documentation that need other people's software: fences ```console interop.
#
# Each page has a folder of its own with the demo's content, release.key, release.pub, two bundles, stick/demo-1.0
# and stick/edge-1.0 (the testbed's Go image, chart and file, under the names of example.com), site-ca.pem, and the home
# `site`, into which stick/demo-1.0 was imported. A command that ends with
# & is a server; one that ends with `# exit N` must end so. A fence ```LANGUAGE interop FILE is written to that file.
# 127.0.0.1:5000, 5002 and 5003 of the pages become free ports here, 127.0.0.1:5001 the testbed's empty registry.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/90-docs
mkdir -p "$here"
mkdir -p "$here/bin"
ln -sfn "$(command -v cosign3)" "$here/bin/cosign" # the one that people have today
PATH=$(dirname "$SEALIFT"):$here/bin:$PATH

# what a person would have set up: containerd running, storage for podman, SoftHSM with a folder of its own
socket=$(mktemp -d)/sock
printf 'version = 2\nroot = "%s"\nstate = "%s"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s"\n' \
  "$here/containerd/root" "$here/containerd/state" "$socket" >"$here/containerd.toml"
start "$here/containerd.log" containerd --config "$here/containerd.toml"
export CONTAINERD_ADDRESS=$socket CONTAINERD_SNAPSHOTTER=native
until_true 30 ctr version
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$here/podman/root" "$here/podman/run" \
  >"$here/storage.conf"
export CONTAINERS_STORAGE_CONF=$here/storage.conf

mkdir -p "$here/tokens"
printf 'directories.tokendir = %s\n' "$here/tokens" >"$here/softhsm2.conf"
export SOFTHSM2_CONF=$here/softhsm2.conf

# an authority for the registry of a site
(cd "$here" && authority site-ca)

# bundles: upstream is reached through mirrors, so that the names are those of the pages
manifest() {
  printf '[bundle]\nname = "edge"\nversion = "1.0"\n'
  printf '\n[[images]]\nimage = "registry.example.com/team/go-app:1.0"\n'
  printf '\n[[charts]]\nrepository = "oci://charts.example.com"\nname = "web"\nversion = "1.0.0"\n'
  printf '\n[[files]]\nurl = "http://%s/files/tool"\nversion = "1.0"\nexecutable = true\n' "$WEB"
  printf '\n[registries."registry.example.com"]\nmirror = "%s"\n' "$UPSTREAM"
  printf '\n[registries."charts.example.com"]\nmirror = "%s/charts"\n' "$UPSTREAM"
  plain_http "$UPSTREAM"
}
manifest >"$here/sealift.toml"
build "$here/sealift.toml" "$here/stick" >"$here/build.log" 2>&1
cp -r "$ROOT/testdata/demo" "$here/demo"
build "$here/demo/sealift.toml" "$here/stick" >>"$here/build.log" 2>&1

# runs one command of a page; $1 says where it stands
run_line() {
  local at=$1 line=$2 wanted=0 code=0 log
  log=$(mktemp "$here/log.XXXXXX")
  if [[ $line == *' &' ]]; then
    start "$log" bash -c "exec ${line% &}"
    check "$at: $line" until_true 20 grep -E 'https?://127\.0\.0\.1:[1-9]' "$log"
    return
  fi
  [[ $line != *'# exit '* ]] || wanted=${line##*# exit }
  bash -c "$line" >"$log" 2>&1 || code=$?
  if [ "$code" -eq "$wanted" ]; then
    ok "$at: $line"
  else
    not_ok "$at: $line: exit $code instead of $wanted"
    tail -n 15 "$log" | sed 's/^/    /'
  fi
}

# page FILE: all that is fenced interop, from top to bottom
page() {
  local name=$1 number=0 inside='' line address other third
  address=127.0.0.1:$(free_port)
  other=127.0.0.1:$(free_port)
  third=127.0.0.1:$(free_port)
  mkdir -p "$here/$name"
  cd "$here/$name"
  cp -r "$here/stick" "$ROOT/testdata/demo/." .
  cp "$KEY" release.key
  cp "$PUB" release.pub
  cp "$here/site-ca.pem" .
  check "$name: site" sealift import stick/demo-1.0 --key release.pub --home site
  while IFS= read -r line; do
    number=$((number + 1))
    line=${line//127.0.0.1:5000/$address}
    line=${line//127.0.0.1:5001/$DEST}
    line=${line//127.0.0.1:5002/$other}
    line=${line//127.0.0.1:5003/$third}
    if [[ $line =~ ^\`\`\`[a-z]+\ interop\ ([a-z0-9./_-]+)$ ]]; then
      inside=${BASH_REMATCH[1]}
      mkdir -p "$(dirname "$inside")"
      : >"$inside"
    elif [[ $line == '```console interop' ]]; then
      inside=console
    elif [[ $line == '```'* ]]; then
      inside=
    elif [ "$inside" = console ]; then
      [[ $line != '$ '* ]] || run_line "$name:$number" "${line#\$ }"
    elif [ -n "$inside" ]; then
      printf '%s\n' "$line" >>"$inside"
    fi
  done <"$ROOT/$name"
}

pages=$(cd "$ROOT" && grep -l '^```[a-z]* interop' README.md keys/README.md docs/*.md)
for name in $pages; do page "$name"; done
rm -rf "$(dirname "$socket")"

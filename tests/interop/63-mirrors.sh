#!/usr/bin/env bash
# What `sealift mirror-config` writes: containerd, podman and skopeo pull docker.io/library/... by that name from the
# site's registry, in a network that has nothing but loopback, and ask nobody else for what is not there. Files for k3s,
# RKE2 and OpenShift are read by another parser of YAML; no cluster is run here.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/63-mirrors
cd "$here"

if [ -z "${ALONE:-}" ]; then
  {
    printf '[bundle]\nname = "hub"\nversion = "1.0"\n'
    for tag in 12.0 multi; do printf '\n[[images]]\nimage = "docker.io/library/debian:%s"\n' "$tag"; done
    printf '\n[[images]]\nimage = "%s/team/go-app:1.0"\n' "$UPSTREAM"
    printf '\n[registries."docker.io"]\nmirror = "%s"\n' "$UPSTREAM"
    plain_http "$UPSTREAM"
  } >sealift.toml
  build "$here/sealift.toml" "$here"
  check "import" "$SEALIFT" import hub-1.0 --key "$PUB" --home site
  raw "$UPSTREAM" library/debian:12.0 >debian.json
  raw "$UPSTREAM" team/go-app:1.0 >go-app.json
  authority ours
  certificate good 'DNS:localhost,IP:127.0.0.1' 30
  ALONE=1 exec unshare --net --mount bash "$0"
fi
ip link set lo up

serve "$here/site" "$here/serve.log"
short=$(mktemp -d) # a path of a socket may have 107 bytes only, podman's folder for what runs 50
trap 'stop_all; rm -rf "$short"' EXIT

# config RUNTIME ARGUMENT...: the folder RUNTIME
config() { "$SEALIFT" mirror-config --for "$1" --home site -o "$1" --quiet "${@:2}"; }

# not_there NAME PATTERN COMMAND...: the command fails by saying PATTERN, and has not looked for upstream's address
not_there() {
  local name=$1 pattern=$2 code=0
  shift 2
  "$@" >missing.log 2>&1 || code=$?
  if [ "$code" -ne 0 ] && grep -qE "$pattern" missing.log && ! grep -qE 'lookup |registry-1\.docker\.io' missing.log; then
    ok "$name"
  else
    not_ok "$name: exit $code"
    tail -n 5 missing.log | sed 's/^/    /'
  fi
}

# --- containerd ----------------------------------------------------------------------------------

printf 'version = 2\nroot = "%s"\nstate = "%s"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s"\n' \
  "$here/containerd.d/root" "$here/containerd.d/state" "$short/sock" >containerd.toml
start containerd.log containerd --config containerd.toml
containerd=$!
until_true 30 ctr -a "$short/sock" version
pull() { ctr -a "$short/sock" images pull --hosts-dir "$1/etc/containerd/certs.d" --snapshotter native "${@:2}"; }
known() { ctr -a "$short/sock" images ls | awk -v name="$1" '$1 == name { print $3 }'; }

check "mirror-config for containerd, upstreams of the home" config containerd --registry "$SERVED" --plain-http
check "containerd pulls docker.io/library/debian:12.0" pull containerd docker.io/library/debian:12.0
debian=sha256:$(digest_of debian.json)
go_app=sha256:$(digest_of go-app.json)
equal "containerd has upstream's digest under upstream's name" "$debian" "$(known docker.io/library/debian:12.0)"
check "containerd pulls by digest" pull containerd "docker.io/library/debian@$debian"
check "containerd pulls an index with all platforms" pull containerd --all-platforms docker.io/library/debian:multi
check "containerd pulls from an upstream with a port" pull containerd "$UPSTREAM/team/go-app:1.0"
equal "and has upstream's digest" "$go_app" "$(known "$UPSTREAM/team/go-app:1.0")"
not_there "containerd asks nobody for what the registry does not have" 'not found' \
  pull containerd docker.io/library/debian:13
ctr -a "$short/sock" images pull --snapshotter native docker.io/library/debian:12.1 >without.log 2>&1 || true
check "without the files, upstream would have been asked" grep -q 'registry-1\.docker\.io' without.log

# --- podman and skopeo ---------------------------------------------------------------------------

check "mirror-config for CRI-O and podman" config crio --registry "$SERVED" --plain-http
# node FOLDER: puts its files where they lie on a node, beside those of the distribution; seen by this script only
node() { mount -t overlay overlay -o "lowerdir=$1/etc/containers:/etc/containers" /etc/containers; }
node crio
podman() {
  command podman --root "$here/podman/root" --runroot "$short/run" --storage-driver vfs \
    --network-config-dir "$here/podman/networks" "$@"
}
check "podman pulls docker.io/library/debian:12.0" podman pull docker.io/library/debian:12.0
equal "podman has upstream's digest under upstream's name" "$debian" \
  "$(podman image inspect --format '{{.Digest}}' docker.io/library/debian:12.0 || true)"
check "podman pulls by digest" podman pull "$UPSTREAM/team/go-app@$go_app"
not_there "podman asks nobody for what the registry does not have" 'blocked' podman pull docker.io/library/debian:13
check "skopeo copies docker.io/library/debian:12.0" skopeo copy docker://docker.io/library/debian:12.0 oci:layout:debian
equal "byte for byte" "$debian" \
  "sha256:$(skopeo inspect --raw docker://docker.io/library/debian:12.0 | sha256sum | cut -d' ' -f1)"
not_there "skopeo asks nobody for what the registry does not have" 'blocked' \
  skopeo inspect docker://docker.io/library/debian:13

# --- another registry, with TLS and a prefix -----------------------------------------------------

port=$(free_port)
registry "$here/other" "$port" '' "$here/good"
check "import into CNCF distribution" \
  "$SEALIFT" import hub-1.0 --key "$PUB" --home other-site --to "127.0.0.1:$port/mirror" --ca-file ours.pem
mv containerd containerd.plain
check "mirror-config with a prefix and an authority" config containerd --registry "127.0.0.1:$port/mirror" --ca-file ours.pem
ctr -a "$short/sock" images rm --sync docker.io/library/debian:12.0 "docker.io/library/debian@$debian" >rm.log
check "containerd pulls through TLS from below a prefix" pull containerd docker.io/library/debian:12.0
rm containerd/etc/containerd/certs.d/docker.io/ca.pem
check "and not without the authority" not pull containerd docker.io/library/debian:multi
stop "$containerd"
umount /etc/containers
mv crio crio.plain
check "mirror-config for podman with an authority" config crio --registry "127.0.0.1:$port/mirror" --ca-file ours.pem
node crio
check "skopeo copies through TLS from below a prefix" skopeo copy docker://docker.io/library/debian:multi oci:layout:multi

# --- what no cluster read here -------------------------------------------------------------------

# yaml FILE FILTER: the file as another parser reads it is as the filter of jq says
yaml() { python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' <"$1" | jq -e "$2"; }
for runtime in k3s rke2 openshift; do
  check "mirror-config for $runtime" config "$runtime" --registry reg.site:5000 --ca-file ours.pem
done
for runtime in k3s rke2; do
  folder=$runtime/etc/rancher/$runtime
  # shellcheck disable=SC2016 # the dollars are those of rewrites
  check "$runtime: mirrors, rewrites and the authority" yaml "$folder/registries.yaml" '
    .mirrors["docker.io"] == {endpoint: ["https://reg.site:5000"], rewrite: {"^(.*)$": "docker.io/$1"}}
    and (.configs["reg.site:5000"].tls.ca_file | endswith("/sealift-mirror-ca.pem")) and (.mirrors | length) == 2'
  check "$runtime: no fallback" yaml "$folder/config.yaml.d/50-sealift-mirror.yaml" '."disable-default-registry-endpoint" == true'
  check "$runtime: the authority" cmp ours.pem "$folder/sealift-mirror-ca.pem"
done
for by in digest:Digest tag:Tag; do
  check "openshift: mirrors of pulls by ${by%:*}" yaml "openshift/openshift/image-${by%:*}-mirror-set.yaml" "
    .apiVersion == \"config.openshift.io/v1\" and .kind == \"Image${by#*:}MirrorSet\"
    and (.spec.image${by#*:}Mirrors | map(select(.source == \"docker.io\")))
      == [{source: \"docker.io\", mirrors: [\"reg.site:5000/docker.io\"], mirrorSourcePolicy: \"NeverContactSource\"}]"
done
yaml openshift/openshift/registry-ca.yaml '.data["reg.site..5000"]' | jq -r . >ca.pem
check "openshift: the authority" openssl verify -CAfile ca.pem good.pem

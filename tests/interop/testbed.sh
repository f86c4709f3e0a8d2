# A real upstream on loopback, all of it from Debian's packages: CNCF distribution with real images, the same
# behind Basic auth, an empty one as destination, a classic chart repository and a file server with Range.
# Sourced after lib.sh. What is slow to make stands in $WORK/content and $WORK/upstream and is made once.
# shellcheck shell=bash
#
#   library/debian:12.0        minbase                                  (1 layer)
#   library/debian:12.1        the same with more packages              (1 layer, an update of 12.0)
#   library/debian:multi       index: linux/amd64 (12.0) + linux/arm64
#   team/python-app:1.0, :1.1  debian:12.0 + python3 + app; 1.1 changes the app only
#   team/go-app:1.0            a Go binary from Debian, from scratch; with a cosign-style .sig tag and an
#                              OCI 1.1 referrer (distribution 2.8 has no referrers API: the fallback tag)
#   charts/web:1.0.0           the chart `web`, pushed by helm
#   WEB/charts                 web (with .prov), worker, platform (vendored worker), stack (unvendored worker)
#   WEB/files/tool             a binary

# debian_mirror: where apt gets this release from
debian_mirror() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(REPO_URI) $(LABEL) $(CODENAME)' 'Created-By: Packages' |
    awk -v release="$1" '$2 == "Debian" && $3 == release { print $1; exit }'
}

# unpack FOLDER PACKAGE...: the files of Debian packages, without installing them
unpack() {
  local folder=$1 debs deb
  shift
  debs=$(mktemp -d)
  (cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root "$@" >/dev/null)
  mkdir -p "$folder"
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$folder"; done
  rm -rf "$debs"
}

root_file_systems() {
  local release mirror
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(debian_mirror "$release")
  if [ -z "$mirror" ]; then
    apt-get update -qq
    mirror=$(debian_mirror "$release")
  fi
  debootstrap --variant=minbase "$release" base "$mirror" >base.log 2>&1
  debootstrap --variant=minbase --arch=arm64 --foreign "$release" arm64 "$mirror" >arm64.log 2>&1
  rm -rf {base,arm64}/var/cache/apt/* {base,arm64}/var/lib/apt/lists/*
  cp -a base updated
  unpack updated openssl libssl3 ca-certificates
  unpack python python3.11-minimal libpython3.11-minimal libpython3.11-stdlib python3-minimal python3-yaml
  mkdir -p go/usr/bin
  cp "$(command -v docker-registry)" go/usr/bin/registry
  local version
  for version in 1.0 1.1; do
    mkdir -p "app-$version/opt/app"
    printf 'print("app %s")\n' "$version" >"app-$version/opt/app/main.py"
  done
}

# image TAG ARCHITECTURE FOLDER...: an image in the layout `oci`, a layer for each folder
image() {
  local tag=$1 architecture=$2 folder
  shift 2
  umoci new --image "oci:$tag"
  for folder; do umoci insert --image "oci:$tag" "rootfs/$folder" / >/dev/null; done
  umoci config --image "oci:$tag" --os linux --architecture "$architecture"
}

testbed_content() {
  local content=$WORK/content
  [ ! -e "$content.done" ] || return 0
  rm -rf "$content"
  mkdir -p "$content/rootfs"
  (cd "$content/rootfs" && root_file_systems)
  (
    cd "$content" || exit
    umoci init --layout oci
    image debian-12.0 amd64 base
    image debian-12.1 amd64 updated
    image debian-arm64 arm64 arm64
    local version
    for version in 1.0 1.1; do
      umoci tag --image oci:debian-12.0 "python-app-$version"
      umoci insert --image "oci:python-app-$version" rootfs/python / >/dev/null
      umoci insert --image "oci:python-app-$version" "rootfs/app-$version" / >/dev/null
      umoci config --image "oci:python-app-$version" --config.entrypoint /usr/bin/python3
    done
    image go-app-1.0 amd64 go
    rm -rf rootfs
  )
  touch "$content.done"
}

# descriptor REPOSITORY TAG ARCHITECTURE: of a pushed manifest, for an index
descriptor() {
  raw "$UPSTREAM" "$1:$2" >"$RUN/manifest.json"
  jq -cn --arg digest "sha256:$(digest_of "$RUN/manifest.json")" --arg architecture "$3" \
    --argjson size "$(stat -c %s "$RUN/manifest.json")" \
    '{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
      platform: {os: "linux", architecture: $architecture}}'
}

# cosign_style REPOSITORY TAG: a signature as cosign's legacy form has it, under the tag sha256-….sig
cosign_style() {
  local digest signature folder=$RUN/cosign
  mkdir -p "$folder"
  digest=$(raw "$UPSTREAM" "$1:$2" | sha256sum | cut -d' ' -f1)
  jq -cn --arg name "$1" --arg digest "sha256:$digest" \
    '{critical: {identity: {"docker-reference": $name}, image: {"docker-manifest-digest": $digest},
      type: "cosign container image signature"}, optional: null}' >"$folder/payload.json"
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/key.pem"
  signature=$(openssl dgst -sha256 -sign "$folder/key.pem" "$folder/payload.json" | base64 -w0)
  jq -n --arg signature "$signature" \
    '{"payload.json": {"dev.cosignproject.cosign/signature": $signature}}' >"$folder/annotations.json"
  echo '{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}' >"$folder/config.json"
  (cd "$folder" && oras push --plain-http "$UPSTREAM/$1:sha256-$digest.sig" \
    --config config.json:application/vnd.oci.image.config.v1+json --annotation-file annotations.json \
    payload.json:application/vnd.dev.cosign.simplesigning.v1+json)
}

push_upstream() {
  [ ! -e "$WORK/upstream.done" ] || return 0
  local pair name version
  for pair in debian-12.0=library/debian:12.0 debian-12.1=library/debian:12.1 debian-arm64=library/debian:arm64 \
    python-app-1.0=team/python-app:1.0 python-app-1.1=team/python-app:1.1 go-app-1.0=team/go-app:1.0; do
    skopeo copy -q --dest-tls-verify=false "oci:$WORK/content/oci:${pair%%=*}" "docker://$UPSTREAM/${pair##*=}"
  done
  jq -cn --argjson amd64 "$(descriptor library/debian 12.0 amd64)" \
    --argjson arm64 "$(descriptor library/debian arm64 arm64)" \
    '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [$amd64, $arm64]}' \
    >"$RUN/index.json"
  oras manifest push --plain-http "$UPSTREAM/library/debian:multi" "$RUN/index.json"
  cosign_style team/go-app 1.0
  for name in team/go-app:1.0 library/debian:multi; do
    version=${name##*:}
    jq -n --arg name "$name" '{spdxVersion: "SPDX-2.3", name: $name}' >"$RUN/sbom-$version.json"
    (cd "$RUN" && oras attach --plain-http --artifact-type application/spdx+json "$UPSTREAM/$name" \
      "sbom-$version.json:application/spdx+json")
  done
  touch "$WORK/upstream.done"
} >"$RUN/push.log" 2>&1

# chart FOLDER: its archive in www/charts, the same bytes every time
chart() {
  local name version
  name=$(basename "$1")
  version=$(awk '/^version:/ { print $2 }' "$1/Chart.yaml")
  tar --sort=name --owner=0 --group=0 --mtime=@0 --mode=u=rwX,go=rX -C "$(dirname "$1")" -c "$name" |
    gzip -n >"$RUN/www/charts/$name-$version.tgz"
}

chart_repository() {
  local charts=$RUN/charts home=$RUN/gnupg name
  mkdir -p "$RUN/www/charts"
  cp -r "$HERE/charts" "$charts"
  sed -i "s|@CHARTS@|http://$WEB/charts|" "$charts"/*/Chart.yaml
  mkdir -p "$charts/platform/charts"
  cp -r "$charts/worker" "$charts/platform/charts/worker"
  for name in worker platform stack; do chart "$charts/$name"; done
  # web is packaged and signed by helm itself, so that it has a provenance file
  mkdir -m 700 "$home"
  gpg --homedir "$home" --batch --quiet --passphrase '' --quick-gen-key testbed@example.com rsa2048 sign
  gpg --homedir "$home" --batch --export-secret-keys >"$home/secret.gpg"
  gpgconf --homedir "$home" --kill all
  helm package "$charts/web" -d "$RUN/www/charts" --sign --key testbed@example.com --keyring "$home/secret.gpg"
  helm repo index "$RUN/www/charts" --url "http://$WEB/charts"
  # the same chart by OCI; the archive is new in each run, so the tag moves
  helm push "$RUN/www/charts/web-1.0.0.tgz" "oci://$UPSTREAM/charts" --plain-http
} >"$RUN/charts.log" 2>&1

# testbed_up: starts everything; needs WORK (kept) and RUN (of this run)
testbed_up() {
  # the interpreter itself: a shim of a version manager may look for its settings in HOME, which changes
  PATH=$(dirname "$(python3 -c 'import sys; print(sys.executable)')"):$PATH
  UPSTREAM=127.0.0.1:$(free_port) UPSTREAM_AUTH=127.0.0.1:$(free_port)
  DEST=127.0.0.1:$(free_port) WEB=127.0.0.1:$(free_port)
  export UPSTREAM UPSTREAM_AUTH DEST WEB
  export HELM_CACHE_HOME=$RUN/helm HELM_CONFIG_HOME=$RUN/helm HELM_DATA_HOME=$RUN/helm
  testbed_content
  registry "$WORK/upstream" "${UPSTREAM#*:}"
  htpasswd -Bbn alice s3cret >"$RUN/htpasswd"
  REGISTRY_DATA=$WORK/upstream/data registry "$RUN/upstream-auth" "${UPSTREAM_AUTH#*:}" "$RUN/htpasswd"
  registry "$RUN/destination" "${DEST#*:}"
  push_upstream
  mkdir -p "$RUN/www/files"
  cp "$(command -v skopeo)" "$RUN/www/files/tool"
  start "$RUN/www.log" python3 "$HERE/files.py" "$RUN/www" "${WEB#*:}"
  until_true 20 curl -sf -o "$RUN/ping" -r 0-9 "http://$WEB/files/tool"
  chart_repository
}

#!/usr/bin/env bash
# Servers with certificates: by an authority that is known and by one that is not, for another host, expired;
# and a way from https down to http. Nothing but a good certificate is accepted, and no setting changes that.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/45-tls
cd "$here"

authority ours
authority theirs
certificate good 'DNS:localhost,IP:127.0.0.1' 30
certificate elsewhere 'DNS:registry.example.com' 30
certificate expired 'DNS:localhost,IP:127.0.0.1' -1

# image NAME PORT [SETTING]: NAME.toml, a manifest with one image from the registry on this port
image() {
  {
    printf '[bundle]\nname = "%s"\nversion = "1.0"\n' "$1"
    printf '\n[[images]]\nimage = "localhost:%s/team/go-app:1.0"\n' "$2"
    printf '\n[registries."localhost:%s"]\n%s\n' "$2" "${3:-ca_file = \"ours.pem\"}"
  } >"$1.toml"
}
# serves CERTIFICATE: the upstream with this certificate on $port
serves() {
  port=$(free_port)
  REGISTRY_DATA=$WORK/upstream/data registry "$here/$1" "$port" '' "$here/$1"
}

serves good
image unknown "$port" 'plain_http = false'
refuse "an unknown authority" 9 tls-failure lock -f unknown.toml --home cache
image other "$port" 'ca_file = "theirs.pem"'
refuse "another authority than the one that signed" 9 tls-failure lock -f other.toml --home cache
image good "$port"
check "ca_file names the authority" "$SEALIFT" lock -f good.toml --home cache
check "build by TLS" "$SEALIFT" build -f good.toml -o . --locked --key "$KEY" --home cache
check "its bundle verifies" "$SEALIFT" verify good-1.0 --key "$PUB"
digest=$(raw "$UPSTREAM" team/go-app:1.0 | sha256sum | cut -d' ' -f1)
equal "the digest is upstream's" "digest = \"sha256:$digest\"" "$(grep -m1 '^digest' good.lock)"
serves elsewhere
image elsewhere "$port"
refuse "a certificate for another host" 9 tls-failure lock -f elsewhere.toml --home cache
serves expired
image expired "$port"
refuse "an expired certificate" 9 tls-failure lock -f expired.toml --home cache

# an authority that cannot be used
image missing "$port" 'ca_file = "missing.pem"'
refuse "a ca_file that is not there" 3 not-found lock -f missing.toml --home cache
echo 'no certificate' >nonsense.pem
image nonsense "$port" 'ca_file = "nonsense.pem"'
refuse "a ca_file without certificates" 2 ca-file lock -f nonsense.toml --home cache

# a registry that sends its blobs' readers from https to http
port=$(free_port)
TLS=$here/good start flaky.log python3 "$HERE/flaky.py" redirect "$port" "$UPSTREAM" requests "$UPSTREAM"
until_true 20 curl -s -o ping --cacert ours.pem "https://localhost:$port/v2/"
image redirect "$port"
refuse "from https down to http" 9 upstream-redirect build -f redirect.toml -o . --key "$KEY" --home cold
check "no bundle of it" test ! -e redirect-1.0

# files and charts go the same way
port=$(free_port)
TLS=$here/good start web.log python3 "$HERE/flaky.py" plain "$port" "$WEB" web-requests
until_true 20 curl -s -o ping --cacert ours.pem "https://localhost:$port/files/tool" -r 0-9
{
  printf '[bundle]\nname = "web"\nversion = "1.0"\n'
  printf '\n[[files]]\nurl = "https://localhost:%s/files/tool"\nversion = "1.0"\n' "$port"
  printf '\n[[charts]]\nrepository = "https://localhost:%s/charts"\nname = "worker"\nversion = "0.3.1"\n' "$port"
} >web.toml
refuse "a file and a chart by an unknown authority" 9 tls-failure lock -f web.toml --home cache
printf '\n[registries."localhost:%s"]\nca_file = "ours.pem"\n[registries."%s"]\nplain_http = true\n' "$port" "$WEB" >>web.toml
check "ca_file holds for files and charts too" "$SEALIFT" lock -f web.toml --home cache

# the destination of an import
port=$(free_port)
registry "$here/destination" "$port" '' "$here/good"
into=(import good-1.0 --key "$PUB" --to "localhost:$port/site")
refuse "import where the authority is unknown" 9 tls-failure "${into[@]}" --ca-file theirs.pem
check "import with --ca-file" "$SEALIFT" "${into[@]}" --ca-file ours.pem

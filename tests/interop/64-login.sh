#!/usr/bin/env bash
# Logins over TLS: each client with an account, with a wrong password, and with none, against a certificate of the site's
# own. What an account may do is pushing below sandbox/; anywhere else it may not.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/64-login
mkdir -p "$here/certs"
"$SEALIFT" account add alice --home "$here/site" >"$here/password" 2>"$here/account.log"
"$SEALIFT" account add bob --home "$here/site" >"$here/password-bob" 2>>"$here/account.log"
password=$(cat "$here/password") bob=$(cat "$here/password-bob")
serve_tls "$here/site" "$here/serve.log" --sandbox
ca=$here/site/tls/ca.pem
cp "$ca" "$here/certs/ca.crt"
into=$SERVED/sandbox

# denied COMMAND...: a push of alice outside of the sandbox, which she may not; she is known, so it is 403 and no loop
denied() {
  local said
  ! said=$("$@" 2>&1) || return 1
  echo "$said"
  grep -qiE 'denied|403' <<<"$said"
}
# unknown COMMAND...: not let in, and told so
unknown() {
  local said
  ! said=$("$@" 2>&1) || return 1
  echo "$said"
  grep -qiE 'unauthorized|401|authentication required|invalid username/password' <<<"$said"
}
config_of() { skopeo inspect --raw --cert-dir "$here/certs" --creds "alice:$password" "docker://$1" | jq -r .config.digest; }
wanted=$(raw "$UPSTREAM" team/go-app:1.0 | jq -r .config.digest)

# --- by hand -------------------------------------------------------------------------------------

status() { curl -s --cacert "$ca" -o "$here/body" -w '%{http_code}' "$@"; }
equal "nobody is asked who they are" 401 "$(status "https://$SERVED/v2/")"
equal "a password opens" 200 "$(status -u "alice:$password" "https://$SERVED/v2/")"
equal "a wrong one does not" 401 "$(status -u alice:wrong "https://$SERVED/v2/")"
check "the authority is the one whose digest was printed" grep -q \
  "$(openssl x509 -in "$ca" -noout -fingerprint -sha256 | cut -d= -f2)" "$here/serve.log"
handshake() { openssl s_client -connect "$SERVED" -CAfile "$ca" -verify_return_error "$@" </dev/null; }
check "TLS 1.3" handshake -tls1_3
check "TLS 1.2" handshake -tls1_2
check "not TLS 1.1" not handshake -tls1_1 -cipher 'DEFAULT@SECLEVEL=0'
check "for localhost too" handshake -verify_hostname localhost

# --- skopeo --------------------------------------------------------------------------------------

check "skopeo logs in" skopeo login --cert-dir "$here/certs" --authfile "$here/auth.json" -u alice --password-stdin "$SERVED" <"$here/password"
check "skopeo with a wrong password does not" unknown skopeo login --cert-dir "$here/certs" --authfile "$here/none.json" -u alice -p wrong "$SERVED"
check "nor a name that nobody has" unknown skopeo login --cert-dir "$here/certs" --authfile "$here/none.json" -u admin -p admin "$SERVED"
skopeo_copy() { skopeo copy -q --src-tls-verify=false --dest-cert-dir "$here/certs" "$@"; }
check "skopeo pushes" skopeo_copy --dest-authfile "$here/auth.json" "docker://$UPSTREAM/team/go-app:1.0" "docker://$into/skopeo:1"
equal "and it is the same image" "$wanted" "$(config_of "$into/skopeo:1")"
check "skopeo may not push elsewhere" denied skopeo_copy --dest-authfile "$here/auth.json" "docker://$UPSTREAM/team/go-app:1.0" "docker://$SERVED/team/app:1"
check "without a login it is told to log in" unknown skopeo_copy --dest-no-creds "docker://$UPSTREAM/team/go-app:1.0" "docker://$SERVED/team/app:1"
check "without a login it pulls" skopeo inspect --cert-dir "$here/certs" --no-creds "docker://$into/skopeo:1"
check "a certificate that it does not know it does not believe" not skopeo inspect --no-creds "docker://$into/skopeo:1"

# --- podman --------------------------------------------------------------------------------------

short=$(mktemp -d)
trap 'stop_all; rm -rf "$short"' EXIT
podman() { command podman --root "$here/podman" --runroot "$short/run" --storage-driver vfs "$@"; }
login=(--cert-dir "$here/certs" --authfile "$here/podman.json")
check "podman logs in" podman login "${login[@]}" -u alice -p "$password" "$SERVED"
check "podman with a wrong password does not" unknown podman login --cert-dir "$here/certs" --authfile "$here/none.json" -u alice -p wrong "$SERVED"
check "podman pulls" podman pull -q "${login[@]}" "$into/skopeo:1"
check "podman pushes" podman push -q "${login[@]}" "$into/skopeo:1" "$into/podman:1"
equal "and it is the same image" "$wanted" "$(config_of "$into/podman:1")"
check "podman may not push elsewhere" denied podman push -q "${login[@]}" "$into/skopeo:1" "$SERVED/team/app:1"

# --- crane ---------------------------------------------------------------------------------------

export SSL_CERT_FILE=$ca
crane_as() { DOCKER_CONFIG=$here/$1 crane "${@:2}"; }
check "crane logs in" crane_as crane auth login "$SERVED" -u alice -p "$password"
crane_as wrong auth login "$SERVED" -u alice -p wrong >"$here/crane.log" 2>&1
check "crane pushes" crane_as crane copy --insecure "$UPSTREAM/team/go-app:1.0" "$into/crane:1"
check "crane validates" crane_as crane validate --remote "$into/crane:1"
check "crane mounts from a repository that its token is for" crane_as crane copy "$into/crane:1" "$into/crane2:1"
check "crane may not push elsewhere" denied crane_as crane copy "$into/crane:1" "$SERVED/team/app:1"
check "crane with a wrong password may not pull" unknown crane_as wrong manifest "$into/crane:1"

# --- oras, helm ----------------------------------------------------------------------------------

oras_in() { oras "$@" --ca-file "$ca" --registry-config "$here/oras.json"; }
check "oras logs in" oras login --ca-file "$ca" --registry-config "$here/oras.json" -u alice -p "$password" "$SERVED"
check "oras with a wrong password does not" unknown oras login --ca-file "$ca" --registry-config "$here/none.json" -u alice -p wrong "$SERVED"
head -c 100000 /dev/urandom >"$here/file"
mkdir -p "$here/oras"
push() { (cd "$here" && oras_in push "$1" file); }
check "oras pushes" push "$into/oras:1"
check "oras pulls" oras_in pull "$into/oras:1" -o "$here/oras"
equal "and it is the same file" "$(digest_of "$here/file")" "$(digest_of "$here/oras/file")"
check "oras may not push elsewhere" denied push "$SERVED/team/file:1"

export HELM_REGISTRY_CONFIG=$here/helm.json
check "helm logs in" helm registry login "$SERVED" -u alice -p "$password" --ca-file "$ca"
check "helm with a wrong password does not" unknown helm registry login "$SERVED" -u alice -p wrong --ca-file "$ca" --registry-config "$here/none.json"
helm create "$here/chart" >/dev/null
(cd "$here" && helm package chart >/dev/null)
check "helm pushes a chart" helm push "$here/chart-0.1.0.tgz" "oci://$into/charts" --ca-file "$ca"
check "helm pulls it" helm pull "oci://$into/charts/chart" --version 0.1.0 -d "$here/oras" --ca-file "$ca"
equal "and it is the same chart" "$(digest_of "$here/chart-0.1.0.tgz")" "$(digest_of "$here/oras/chart-0.1.0.tgz")"
check "helm may not push elsewhere" denied helm push "$here/chart-0.1.0.tgz" "oci://$SERVED/charts" --ca-file "$ca"

# --- cosign --------------------------------------------------------------------------------------

export DOCKER_CONFIG=$here/cosign COSIGN_PASSWORD=x
signed=$into/crane@$(crane_as crane digest "$into/crane:1")
check "cosign logs in" cosign3 login "$SERVED" -u alice -p "$password"
(cd "$here" && cosign3 generate-key-pair >cosign.log 2>&1)
sign=(--key "$here/cosign.key" --tlog-upload=false --use-signing-config=false --yes)
check "cosign signs" cosign3 sign "${sign[@]}" "$signed"
check "cosign verifies" cosign3 verify --key "$here/cosign.pub" --insecure-ignore-tlog=true "$signed"
DOCKER_CONFIG=$here/wrong check "cosign with a wrong password does not sign" unknown cosign3 sign "${sign[@]}" "$signed"
unset DOCKER_CONFIG SSL_CERT_FILE

# --- containerd ----------------------------------------------------------------------------------

printf 'version = 2\nroot = "%s"\nstate = "%s"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "%s"\n' \
  "$here/containerd/root" "$here/containerd/state" "$short/sock" >"$here/containerd.toml"
start "$here/containerd.log" containerd --config "$here/containerd.toml"
export CONTAINERD_ADDRESS=$short/sock CONTAINERD_SNAPSHOTTER=native
until_true 30 ctr version
mkdir -p "$here/certs.d/${SERVED/:/_}_"
printf 'server = "https://%s"\n[host."https://%s"]\ncapabilities = ["pull", "resolve", "push"]\nca = "%s"\n' \
  "$SERVED" "$SERVED" "$ca" >"$here/certs.d/${SERVED/:/_}_/hosts.toml"
ctr_as() { ctr images "$2" --hosts-dir "$here/certs.d" -u "alice:$1" "${@:3}"; }
check "containerd pulls" ctr_as "$password" pull "$into/crane:1"
check "containerd pushes" ctr_as "$password" push "$into/ctr:1" "$into/crane:1"
equal "and it is the same image" "$wanted" "$(config_of "$into/ctr:1")"
check "containerd with a wrong password does not" unknown ctr_as wrong push "$SERVED/team/ctr:1" "$into/crane:1"
check "containerd may not push elsewhere" denied ctr_as "$password" push "$SERVED/team/ctr:1" "$into/crane:1"

# --- sealift -------------------------------------------------------------------------------------

small_bundle
export SEALIFT_REGISTRY_AUTH=$SERVED=alice:$password
check "sealift imports into it" "$SEALIFT" import "$SMALL" --key "$PUB" --to "$into/sealift" --ca-file "$ca"
export SEALIFT_REGISTRY_AUTH=$SERVED=alice:wrong
refuse "sealift with a wrong password does not" 9 auth-failed import "$SMALL" --key "$PUB" --to "$SERVED/team" --ca-file "$ca"
unset SEALIFT_REGISTRY_AUTH

# --- what is taken away, and new certificates ----------------------------------------------------

check "another logs in" crane_as bob auth login "$SERVED" -u bob -p "$bob"
SSL_CERT_FILE=$ca check "and is let in" crane_as bob manifest "$into/crane:1"
"$SEALIFT" account disable bob --home "$here/site" >>"$here/account.log" 2>&1
equal "disabled, it is refused with the next request" 401 "$(status -u "bob:$bob" "https://$SERVED/v2/")"
SSL_CERT_FILE=$ca check "also where a client is logged in" unknown crane_as bob manifest "$into/crane:1"
"$SEALIFT" account enable bob --home "$here/site" >>"$here/account.log" 2>&1
equal "and let in again" 200 "$(status -u "bob:$bob" "https://$SERVED/v2/")"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=one" -addext "subjectAltName=IP:127.0.0.1" \
  -keyout "$here/own.key" -out "$here/own.pem" 2>"$here/openssl.log"
serve_tls "$here/site" "$here/own.log" --tls-cert "$here/own.pem" --tls-key "$here/own.key"
shows() { openssl s_client -connect "$SERVED" </dev/null 2>/dev/null | openssl x509 -noout -subject | grep -q "CN *= *$1\$"; }
check "a certificate that was given is shown" shows one
openssl req -x509 -key "$here/own.key" -days 2 -subj "/CN=two" -addext "subjectAltName=IP:127.0.0.1" -out "$here/own.pem" 2>>"$here/openssl.log"
check "and a new one, without a restart" until_true 20 shows two
echo nothing >"$here/own.pem"
check "a bad one is told of" until_true 20 grep -q tls-file "$here/own.log"
check "and not taken" shows two

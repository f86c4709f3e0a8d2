#!/usr/bin/env bash
# The admin API over TLS: curl does each operation as who may and as who may not, by password, by certificate and by token;
# openapi-spec-validator reads its document, and jsonschema holds what was answered against that.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/68-api
site=$here/site
mkdir -p "$here/answers"
cd "$here"
authority ours
certificate ops 'URI:spiffe://site/ops' 2
# for a client, not for a server
openssl x509 -req -in ops.csr -CA ours.pem -CAkey ours.key -CAcreateserial -days 2 \
  -extfile <(printf 'subjectAltName=URI:spiffe://site/ops\nextendedKeyUsage=clientAuth\n') -out ops.pem 2>>openssl.log

account() { "$SEALIFT" account --home "$site" "$@" 2>>account.log; }
account add --group admins root >./root
account add --group leads lee >./lee
account add kim >./kim
account add ops --robot --group admins --certificate-identity spiffe://site/ops --no-password >ops.log
cat >rules.toml <<'RULES'
schema = 1
[[grant]]
to = ["group:admins"]
repositories = ["**"]
may = ["admin"]
[[grant]]
to = ["group:admins", "user:lee"]
repositories = ["apps/**"]
may = ["pull", "push", "tag"]
[[grant]]
to = ["user:lee"]
repositories = ["apps/**"]
may = ["admin"]
[[grant]]
to = ["user:kim"]
repositories = ["apps/**"]
may = ["pull"]
RULES
"$SEALIFT" rules set rules.toml --home "$site" >rules.log 2>&1
printf 'plain_http = false\n[tls]\nclient_ca = "ours.pem"\nclient_certificates = "optional"\n' >serve.toml
serve_tls "$site" serve.log --config serve.toml
ca=$site/tls/ca.pem
url=https://$SERVED/api/v1

mkdir -p certs
cp "$ca" certs/ca.crt
push() {
  skopeo copy -q --src-tls-verify=false --dest-cert-dir certs --dest-creds "lee:$(cat lee)" \
    "docker://$UPSTREAM/$1" "docker://$SERVED/$2"
}
check "an image comes" push team/go-app:1.0 apps/shop:1
check "and another under its tag" push team/python-app:1.0 apps/shop:1

# --- each operation -------------------------------------------------------------------------------

# as NAME: what curl says who it is
as() {
  case $1 in
    nobody) ;;
    ops) echo "--cert $here/ops.pem --key $here/ops.key" ;;
    token) echo "--oauth2-bearer $(curl -s --cacert "$ca" -u "root:$(cat root)" \
      "https://$SERVED/v2/token?service=sealift&scope=repository:apps/shop:*&scope=registry:catalog:*" | jq -r .token)" ;;
    *) echo "-u $1:$(cat "$1")" ;;
  esac
}

number=0
# ask NAME METHOD PATH [BODY]: STATUS, and the answer in $here/answer; all of them are kept for the document
ask() {
  local who=$1 method=$2 path=$3 sent=()
  [ $# -lt 4 ] || sent=(--header 'Content-Type: application/json' --data "$4")
  number=$((number + 1))
  # shellcheck disable=SC2046 # words
  STATUS=$(curl -s --cacert "$ca" $(as "$who") -X "$method" "${sent[@]}" -o answer -D headers -w '%{http_code}' "$url$path")
  jq -n --arg method "$method" --arg path "$path" --argjson status "$STATUS" --slurpfile answer answer \
    --arg type "$(sed -n 's/^content-type: *//Ip' headers | tr -d '\r')" '$ARGS.named' >"answers/$number.json"
}

# all NAME METHOD PATH WANTED [BODY]: who may is answered so, and nobody else is let
all() {
  local what=$1 method=$2 path=$3 wanted=$4 who body=()
  [ $# -lt 5 ] || body=("$5")
  for who in nobody token; do
    ask "$who" "$method" "$path" "${body[@]}"
    equal "$what: not for $who" "401 urn:sealift:problem:unauthorized" "$STATUS $(jq -r .type answer)"
  done
  for who in kim lee; do
    ask "$who" "$method" "$path" "${body[@]}"
    equal "$what: not for $who" "403 denied" "$STATUS $(jq -r .reason answer)"
  done
  ask ops "$method" "$path" "${body[@]}"
  equal "$what" "$wanted" "$STATUS"
}
member() { jq -r "$1" answer; }

all "the status" GET /status 200
all "the accounts" GET /accounts 200
all "an account is made" POST /accounts 201 '{"name":"new","groups":["a"],"expires":"2099-01-31"}'
member .secret >new
equal "whose password is in the answer" 32 "$(tr -d '\n' <new | wc -c)"
equal "and opens it" 200 "$(curl -s --cacert "$ca" -u "new:$(cat new)" -o body -w '%{http_code}' "https://$SERVED/v2/")"
all "it is there already" POST /accounts 409 '{"name":"new"}'
all "it is shown" GET /accounts/new 200
all "it gets another password" POST /accounts/new/secret 200 '{}'
equal "and the one of before opens nothing" 401 "$(curl -s --cacert "$ca" -u "new:$(cat new)" -o body -w '%{http_code}' "https://$SERVED/v2/")"
all "it comes into a group" PUT /accounts/new/groups/b 200
equal "of two" "a b" "$(member '.account.groups | join(" ")')"
all "it leaves one" DELETE /accounts/new/groups/a 200
all "it is disabled" POST /accounts/new/disable 200 '{}'
all "it is enabled" POST /accounts/new/enable 200 '{}'
all "it goes" DELETE /accounts/new 200
all "it is gone" DELETE /accounts/new 404
all "the rules" GET /rules 200
equal "are those that were set" "$(digest_of rules.toml)" "$(member .digest | cut -d: -f2)"
rules=$(jq -Rs '{text: .}' rules.toml)
all "rules are checked" POST /rules/check 200 "$rules"
all "rules are set" PUT /rules 200 "$rules"
all "bad ones are not" PUT /rules 422 '{"text":"schema = 1\n[[grant]]\n"}'
all "the ledger" GET '/ledger?event=account&limit=2' 200
check "goes on elsewhere" grep -qi '^link: </api/v1/ledger?after=[0-9]*&event=account&limit=2>; rel="next"' headers
all "what was refused" GET '/ledger?action=admin&refused=true' 200
check "of everybody" jq -e '[.records[].who] | contains(["user:kim", "user:lee", "anyone"])' answer
all "the store" GET /store 200
equal "is whole" whole "$(member .state)"
all "what nobody needs is listed" POST /prune/plan 200 '{"untagged":true}'
plan=$(jq -c .plan answer)
all "and taken away" POST /prune/apply 200 "$plan"
all "at once" POST /store/collect 200 '{}'

# --- what one repository is enough for --------------------------------------------------------------

for row in 'nobody 401' 'token 401' 'kim 403' 'lee 200' 'root 200'; do
  ask "${row% *}" GET /repositories
  equal "repositories: ${row% *}" "${row#* }" "$STATUS"
done
for row in 'nobody 401' 'token 401' 'kim 200' 'lee 200' 'root 200'; do
  ask "${row% *}" GET '/tags?repository=apps/shop'
  equal "tags: ${row% *}" "${row#* }" "$STATUS"
  ask "${row% *}" GET '/tags/history?repository=apps/shop&tag=1'
  equal "history: ${row% *}" "${row#* }" "$STATUS"
done
ask kim GET '/tags?repository=other/x'
equal "and not of another" 403 "$STATUS"
push team/go-app:1.0 apps/shop:1
for row in 'nobody 401' 'token 401' 'kim 403' 'lee 200'; do
  ask "${row% *}" POST '/tags/restore?repository=apps/shop&tag=1' '{}'
  equal "restore: ${row% *}" "${row#* }" "$STATUS"
done
equal "and the command says who did it" user:lee "$("$SEALIFT" --output json tag history apps/shop:1 --home "$site" | jq -r '.moves[0].who')"
ask root POST '/tags/restore?repository=apps/shop&tag=9' '{}'
equal "not what there never was" "404 tag-unknown" "$STATUS $(member .reason)"
check "the ledger is whole" "$SEALIFT" audit ledger --home "$site"

# --- requests that are none --------------------------------------------------------------------------

ask root GET /nothing
equal "an address that is none" 404 "$STATUS"
ask root PATCH /rules
equal "a method that is none" 405 "$STATUS"
check "and those that are" grep -qi '^allow: GET, HEAD, PUT' headers
form() { curl -s --cacert "$ca" -u "root:$(cat root)" -o answer -w '%{http_code}' "$@" "$url/accounts/kim/disable"; }
equal "a form is not taken" 415 "$(form --data x=1)"
equal "nor a page of another site" 403 "$(form -H 'Content-Type: application/json' -H 'Origin: https://evil.example' --data '{}')"
equal "nor that of a subdomain" 403 "$(form -H 'Content-Type: application/json' -H 'Sec-Fetch-Site: same-site' --data '{}')"
head -c 5000000 /dev/zero | tr '\0' ' ' >large
equal "nor what is too large" 413 "$(form -H 'Content-Type: application/json' --data-binary @large)"

# --- the document ------------------------------------------------------------------------------------

curl -s --cacert "$ca" "$url/openapi.json" >openapi.json
check "everybody may read the document" test -s openapi.json
check "it is that of the documentation" cmp openapi.json "$ROOT/docs/api.json"
check "it is OpenAPI" "$OPENAPI_PYTHON" -m openapi_spec_validator --errors all openapi.json
check "and what was answered is what it says" "$OPENAPI_PYTHON" "$HERE/api.py" openapi.json answers
equal "the page is for everybody" 200 "$(curl -s --cacert "$ca" -o page.html -w '%{http_code}' "$url")"
operations=$(jq '[.paths[] | keys[]] | length' openapi.json)
equal "and shows every operation" "$operations" "$(grep -c 'data-label="What it does"' page.html)"

#!/usr/bin/env bash
# A ledger in the hands of somebody else: its SQLite table is changed with python3, and `audit ledger` names the
# record. Receipts and checkpoints hold for openssl, and hold no more once a byte is different.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/65-ledger
mkdir -p "$here"
cd "$here"
cp -r "$ROOT/testdata/demo" demo
build demo/sealift.toml "$here/stick" >build.log 2>&1
"$SEALIFT" key generate --no-passphrase -o stranger.key >stranger.pub 2>key.log

check "a site imports" "$SEALIFT" import stick/demo-1.0 --key "$PUB" --home site --receipt last.intoto.jsonl
refuse "a site refuses" 5 signature-untrusted import stick/demo-1.0 --key stranger.pub --home site
check "a site imports again" "$SEALIFT" import stick/demo-1.0 --key "$PUB" --home site
"$SEALIFT" key public site/keys/importer.pem >site.pub
check "its ledger is whole" "$SEALIFT" audit ledger --home site --head last.intoto.jsonl
"$SEALIFT" audit ledger --home site --output json | jq -r .head_line >head.txt
"$SEALIFT" audit ledger --home site --export ledger.jsonl 2>export.log

# --- stock tools: the scripts of the page itself --------------------------------------------------

for script in chain.sh checkpoint.sh receipt.sh; do
  sed -n "/^\`\`\`sh interop $script\$/,/^\`\`\`\$/p" "$ROOT/docs/ledger.md" | sed '1d;$d' >"$script"
  check "the page has $script" test -s "$script"
done
check "jq and sha256sum find the chain whole" bash chain.sh
check "and end where sealift does" grep -qx "whole: $(cat head.txt)" <(bash chain.sh)
check "openssl accepts the checkpoint" bash checkpoint.sh
check "openssl accepts the receipt" bash receipt.sh
cp last.intoto.jsonl kept
python3 - last.intoto.jsonl <<'END'
import base64, json, sys
lines = open(sys.argv[1]).read().splitlines()
envelope = json.loads(lines[1])
statement = base64.b64decode(envelope["payload"]).replace(b'"imported"', b'"refused "')
envelope["payload"] = base64.b64encode(statement).decode()
open(sys.argv[1], "w").write(lines[0] + "\n" + json.dumps(envelope, separators=(",", ":")) + "\n")
END
check "openssl refuses a changed receipt" bash -c '! bash receipt.sh'
refuse "so does sealift" 5 signature-invalid receipt show last.intoto.jsonl --key site.pub
mv kept last.intoto.jsonl

# --- the database, changed ------------------------------------------------------------------------

# tamper NAME REASON SQL [HEAD]: the home with this done to its table; the audit must give the reason
tamper() {
  rm -rf copy
  cp -r site copy
  python3 - copy/sealift.db "$3" <<'END'
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'ledger'"
for (name,) in database.execute(triggers).fetchall():
    database.execute(f"DROP TRIGGER {name}")
assert database.execute(sys.argv[2]).rowcount > 0
database.commit()
END
  refuse "$1" 4 "$2" audit ledger --home copy ${4:+--head "$4"}
}
tamper "an edited record is named" ledger-edited \
  "UPDATE ledger SET line = replace(line, 'home', 'else') WHERE number = 2"
tamper "an inserted record is named" ledger-inserted "INSERT INTO ledger SELECT 1000, line FROM ledger WHERE number = 2"
tamper "a deleted record is named" ledger-deleted "DELETE FROM ledger WHERE number = 4"
tamper "deleted first records are named" ledger-deleted "DELETE FROM ledger WHERE number < 3"
tamper "a moved record is named" ledger-reordered "UPDATE ledger SET number = 1000 WHERE number = 3"
tamper "a broken line is named" ledger-malformed "UPDATE ledger SET line = substr(line, 2) WHERE number = 5"
tamper "a record without a checkpoint is named" ledger-checkpoint \
  "DELETE FROM ledger WHERE number = (SELECT max(number) FROM ledger)"
tamper "a cut tail is named, against the head" ledger-cut "DELETE FROM ledger WHERE number > 3" head.txt
tamper "a cut import is named, against its receipt" "ledger-checkpoint ledger-cut" "DELETE FROM ledger WHERE number > 1" last.intoto.jsonl

# The file as a whole made anew, by somebody without the key: every hash fits, the checkpoint does not.
python3 - ledger.jsonl forged.jsonl <<'END'
import hashlib, json, sys
previous, out = "0" * 64, []
for line in open(sys.argv[1]):
    record = json.loads(line)
    record["previous"] = previous
    if record["event"] == "import":
        record["destination"] = "elsewhere"
    if record["event"] == "checkpoint":
        record["hash"] = previous
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    previous = hashlib.sha256(text.encode()).hexdigest()
    out.append(text + "\n")
open(sys.argv[2], "w").writelines(out)
END
refuse "a rewritten ledger fails at the next checkpoint" 4 ledger-checkpoint audit ledger forged.jsonl --key site.pub
refuse "a stranger's key signs nothing of it" 4 ledger-checkpoint audit ledger ledger.jsonl --key stranger.pub

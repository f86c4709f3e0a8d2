#!/usr/bin/env bash
# sealift against other people's software, on real images. Needs root, and what `.ci/install` installs.
#
#   tests/interop/run.sh                     every script of this folder, in order
#   tests/interop/run.sh 10 40               only those whose names begin so
#   SEALIFT_INTEROP=DIR tests/interop/run.sh what is slow to make is kept in DIR
#
# Each script prints a line `ok NAME` or `not ok NAME` for each thing shown; the last line counts them.
set -euo pipefail
# Tools that `.ci/install` built.
# shellcheck source=.ci/install
source "$(dirname "$0")/../../.ci/install" --paths
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/interop/testbed.sh
source "$HERE/testbed.sh"

[ -x "$SEALIFT" ] || { echo "no $SEALIFT: run cargo build --release first" >&2; exit 2; }
export SEALIFT
export WORK=${SEALIFT_INTEROP:-${XDG_CACHE_HOME:-$HOME/.cache}/sealift/interop}
export RUN=$WORK/run
# Nothing of the person who runs this may decide: no settings, credentials or proxies of theirs.
unset DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_RUNTIME_DIR XDG_DATA_HOME XDG_CONFIG_HOME SOURCE_DATE_EPOCH \
  http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy SEALIFT_HOME SEALIFT_REGISTRY_AUTH
mkdir -p "$WORK"
exec 9>"$WORK/lock"
flock 9 # one run at a time; servers do not inherit it
rm -rf "$RUN"
mkdir -p "$RUN/home"

begun=$SECONDS
testbed_up
export HOME=$RUN/home
keys "$RUN"
echo "# testbed up in $((SECONDS - begun)) s: upstream $UPSTREAM, with auth $UPSTREAM_AUTH, charts and files $WEB"

passed=0 failed=0
for script in "$HERE"/[0-9][0-9]-*.sh; do
  name=$(basename "$script" .sh)
  if [ $# -gt 0 ]; then
    wanted=
    for prefix; do [[ $name != "$prefix"* ]] || wanted=1; done
    [ -n "$wanted" ] || continue
  fi
  begun=$SECONDS
  code=0
  mkdir -p "$RUN/$name"
  bash "$script" 2>&1 | tee "$RUN/$name.out" || code=$?
  passed=$((passed + $(grep -c '^ok ' "$RUN/$name.out" || true)))
  failed=$((failed + $(grep -c '^not ok ' "$RUN/$name.out" || true)))
  if [ "$code" -ne 0 ]; then
    echo "not ok $name ended early with exit $code"
    failed=$((failed + 1))
  fi
  echo "# $name took $((SECONDS - begun)) s"
done
stop_all
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

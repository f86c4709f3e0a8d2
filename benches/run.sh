#!/usr/bin/env bash
# Measures sealift and the tools that people use instead, in turns, in one run, on the testbed of
# tests/interop. Prints a Markdown table to standard output; what happens goes to standard error.
#
#   benches/run.sh                     everything; about ten minutes on two cores, 20 GB of disk
#   benches/run.sh build verify        only these (build verify import again inspect big)
#   BENCH_RUNS=9 benches/run.sh        more counted runs of each (5)
#   BENCH_BIG=1G benches/run.sh big    another size of the synthetic file (4G)
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/../tests/interop/lib.sh"
# shellcheck source=tests/interop/testbed.sh
source "$HERE/testbed.sh"
# shellcheck source=.ci/install
source "$ROOT/.ci/install" --paths

[ -x "$SEALIFT" ] || { echo "no $SEALIFT: run cargo build --release first" >&2; exit 2; }
export SEALIFT
export WORK=${SEALIFT_INTEROP:-${XDG_CACHE_HOME:-$HOME/.cache}/sealift/interop}
export RUN=$WORK/bench
unset DOCKER_CONFIG REGISTRY_AUTH_FILE http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
mkdir -p "$WORK"
exec 9>"$WORK/lock"
flock 9 # one run at a time; servers do not inherit it
rm -rf "$RUN"
mkdir -p "$RUN/home" "$RUN/whole"
testbed_up >&2
export HOME=$RUN/home
keys "$RUN"
whole_manifest "$RUN/whole/sealift.toml"
python3 "$ROOT/benches/measure.py" "$@"
rm -rf "$RUN"

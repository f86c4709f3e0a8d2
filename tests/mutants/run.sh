#!/usr/bin/env bash
# Mutation testing: the code is made wrong in one place after another, and each time a test must fail. What survives
# is listed; it is killed by a test or explained.
#
#   tests/mutants/run.sh trust                 one module: trust, verify, bundle, ledger
#   tests/mutants/run.sh verify --shard 0/4    what follows goes to cargo mutants
#
# A mutant is cheap when little is built for it: the tree is copied and cut down to the floors that the module stands
# on, which modules_only_look_down guarantees to be enough, and to the tests that look at it.
set -euo pipefail
cd "$(dirname "$0")/../.."
module=${1:?give a module: trust, verify, bundle, ledger}
shift
leave=() slow=()
# modules of src, then modules of tests/it
case $module in
  trust | ledger) floors="base oci $module trust" tests="" ;;
  verify | bundle)
    floors="base oci trust cosign ledger report store bundle verify"
    tests="attacks bundle folder forge opened tampering trusted"
    # What is read may be hostile, what is written is not: what only writes is left out.
    leave=(-e src/bundle/writer.rs -e src/bundle/pipeline.rs -E 'Compressor|zstd_failed|is_compressed|stream_that_fits|Filling|inventory_row')
    # Every byte of a bundle flipped and cut off; large bundles.
    slow=(every_flipped_byte every_cut any_number_of_workers a_disk_that_refuses no_volume_is_ever_over
      damage_is_told only_what_cannot_fit the_advance_ends what_it_carries a_volume_in_the_place)
    ;;
  *) echo "no plan for the module '$module'" >&2; exit 2 ;;
esac

out=${CARGO_TARGET_DIR:-$PWD/target}/mutants-$module
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$tree"
mkdir -p "$out"
cd "$tree"

# Keeps the lines `pub mod x;` or `mod x;` of these modules alone.
keep() {
  local file=$1 all="|${2// /|}|"
  awk -v all="$all" '/^#\[doc\(hidden\)\]$/ { next }
    match($0, /^(pub )?mod [a-z_0-9]+;$/) { name = $NF; sub(";", "", name); if (!index(all, "|" name "|")) next }
    { print }' "$file" >"$file.cut"
  mv "$file.cut" "$file"
}
keep src/lib.rs "$floors"
for there in src/*; do
  case " lib.rs $floors " in *" ${there#src/} "*) ;; *) rm -r "$there" ;; esac
done
# Nor the unit tests of the floors below, which nobody runs here.
find src -name '*.rs' -not -path "src/$module/*" -exec sed -i 's/^#\[cfg(test)\]$/#[cfg(any())]/' {} +
# Without the program, the tests of other floors, and what only those need.
sed -i '/^\[\[bin\]\]$/,/^$/d; /^default-run/d' Cargo.toml
sed -i '/^\[\[test\]\]$/,/^$/d' Cargo.toml
# Examples in comments would have the library built a second time.
printf '\n[lib]\ndoctest = false\n' >>Cargo.toml
if [ -n "$tests" ]; then
  # Inside the library: a mutant is then compiled once and linked once.
  keep tests/it/main.rs "$tests"
  sed -i '/^mod importing;$/d' tests/it/attacks/mod.rs
  mkdir src/it
  mv tests/it/main.rs src/it/mod.rs
  for name in $tests; do mv "tests/it/$name"* src/it; done
  find src/it -name '*.rs' -exec sed -i 's/\bcrate::/crate::it::/g' {} +
  printf '#[cfg(test)]\nextern crate self as sealift;\n#[cfg(test)]\nmod it;\n' >>src/lib.rs
  filter=("$module::" it::)
else
  filter=("$module::")
fi
rm -r tests
sed -n '/^\[dependencies\]$/,/^\[profile/ s/^\([a-z0-9_-]*\) = .*/\1/p' Cargo.toml | while read -r crate; do
  grep -rqw "${crate//-/_}" src || sed -i "/^$crate = /d" Cargo.toml
done

# In place: it is a copy already. What was built stays, so that the next run begins at once.
examine() {
  CARGO_TARGET_DIR=$out/target CARGO_INCREMENTAL=1 nice -n 15 \
    cargo mutants --in-place -f "src/$module/**" "${leave[@]}" -o "$out" "$@" || code=$?
}
examine "$@" -- --lib -- "${filter[@]}" "${slow[@]/#/--skip=}"
# What survived meets the slow tests as well.
if [ "${#slow[@]}" != 0 ] && [ -s "$out/mutants.out/missed.txt" ]; then
  code=0
  examine --iterate "$@" -- --lib -- "${filter[@]}"
fi
# Both lists, also where nothing survived.
for list in missed timeout; do
  echo "== $list"
  cat "$out/mutants.out/$list.txt"
done
exit "${code:-0}"

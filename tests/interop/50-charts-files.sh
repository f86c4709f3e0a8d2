#!/usr/bin/env bash
# Charts for helm and files for oras, from our registry and from distribution.
set -euo pipefail
# shellcheck source=tests/interop/lib.sh
source "$(dirname "$0")/lib.sh"

here=$RUN/50-charts-files
whole_bundle
check "import into the home store" "$SEALIFT" import "$BUNDLE" --key "$PUB" --home "$here/site" --files-to "$here/files"
check "import into distribution" "$SEALIFT" import "$BUNDLE" --key "$PUB" --to "$DEST/charts-files" --plain-http
serve "$here/site" "$here/serve.log"
carries_worker() { tar -tzf "$1" | grep -E '^stack/charts/worker(-0\.3\.1\.tgz|/Chart\.yaml)$'; }
renders_worker() { helm template site "$1" | grep site-worker; }
classic=$(inside "$WEB/charts")

for place in "$SERVED serve" "$DEST/charts-files distribution"; do
  read -r host where <<<"$place"
  for chart in web=1.0.0 platform=2.0.0+build.7; do
    folder=$here/$where/${chart%%=*}
    mkdir -p "$folder"
    check "helm pulls ${chart%%=*} from $where" \
      helm pull "oci://$host/$classic/${chart%%=*}" --version "${chart#*=}" --plain-http -d "$folder"
    archive=${chart%%=*}-${chart#*=}.tgz
    equal "the archive of ${chart%%=*} from $where is upstream's" \
      "$(digest_of "$RUN/www/charts/$archive")" "$(digest_of "$folder/$archive")"
  done
  check "helm pulls stack from $where" \
    helm pull "oci://$host/$classic/stack" --version 0.1.0 --plain-http -d "$here/$where"
  check "stack carries the dependency that it only named" carries_worker "$here/$where/stack-0.1.0.tgz"
  check "helm renders stack with it" renders_worker "$here/$where/stack-0.1.0.tgz"
  check "helm pulls the chart that upstream has in OCI from $where" \
    helm pull "oci://$host/$(inside "$UPSTREAM/charts")/web" --version 1.0.0 --plain-http -d "$here/$where"
  check "helm gets the provenance file from $where" \
    helm pull "oci://$host/$classic/web" --version 1.0.0 --plain-http --prov -d "$here/$where/web"
  equal "the provenance file from $where is upstream's" \
    "$(digest_of "$RUN/www/charts/web-1.0.0.tgz.prov")" "$(digest_of "$here/$where/web/web-1.0.0.tgz.prov")"

  mkdir -p "$here/$where/tool"
  check "oras pulls the file from $where" oras pull --plain-http "$host/files/tool:1.0" -o "$here/$where/tool"
  equal "the file from $where is upstream's" \
    "$(digest_of "$RUN/www/files/tool")" "$(digest_of "$here/$where/tool/tool")"
done

equal "--files-to writes the file" "$(digest_of "$RUN/www/files/tool")" "$(digest_of "$here/files/tool")"
check "--files-to makes it executable" test -x "$here/files/tool"

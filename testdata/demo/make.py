#!/usr/bin/env python3
"""Makes hello.oci.tar: a two-platform image as an OCI archive, the same bytes every time.

Run it in this folder after a change here, and commit the result. Only Python's standard library is used.
"""
import gzip
import hashlib
import io
import json
import tarfile

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
blobs = {}


def put(media_type, data, **more):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blobs["blobs/sha256/" + digest[7:]] = data
    return {"mediaType": media_type, "digest": digest, "size": len(data), **more}


def canonical(document):
    return json.dumps(document, separators=(",", ":")).encode()


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def image(architecture):
    content = tar({"etc/hello.txt": f"Hello from inside the gap, on linux/{architecture}.\n".encode()})
    config = {
        "created": "1970-01-01T00:00:00Z",
        "architecture": architecture,
        "os": "linux",
        "config": {"Labels": {"org.opencontainers.image.title": "hello"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(content).hexdigest()]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put("application/vnd.oci.image.config.v1+json", canonical(config)),
        "layers": [put("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(content, mtime=0))],
    }
    return put(MANIFEST, canonical(manifest), platform={"architecture": architecture, "os": "linux"})


index = put(INDEX, canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image("amd64"), image("arm64")]}))
index["annotations"] = {"org.opencontainers.image.ref.name": "registry.example.com/demo/hello:1.0"}
layout = {
    "oci-layout": canonical({"imageLayoutVersion": "1.0.0"}),
    "index.json": canonical({"schemaVersion": 2, "manifests": [index]}),
}
with open("hello.oci.tar", "wb") as out:
    out.write(tar(layout | dict(sorted(blobs.items()))))

"""Measures sealift and its rivals in turns. Started by run.sh, which brings the testbed up.

Each command is timed as a whole process, with its children, by the operating system's own accounting:
wall seconds, processor seconds, peak memory of the largest process. Two commands are run A B A B …, after
one run of each that is not counted; medians are shown, and the ratio is the median of the pairs.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

SEALIFT, KEY, PUB = os.environ["SEALIFT"], os.environ["KEY"], os.environ["PUB"]
RUN = pathlib.Path(os.environ["RUN"])
UPSTREAM = os.environ["UPSTREAM"]
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
BIG = os.environ.get("BENCH_BIG", "4G")
WHOLE = RUN / "whole"
IMAGES = ["library/debian:12.0", "library/debian:12.1", "library/debian:multi", "team/python-app:1.0",
          "team/python-app:1.1", "team/go-app:1.0"]
MIB = 1 << 20

rows = []


class Run:
    """What one process and its children took."""

    def __init__(self, command):
        say("  " + (command if isinstance(command, str) else shlex.join(map(str, command))))
        begun = time.monotonic()
        if isinstance(command, str):
            command = ["bash", "-euo", "pipefail", "-c", command]
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.monotonic() - begun
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss / 1024
        if process.returncode != 0:
            sys.exit(f"{command} ended with {process.returncode}:\n{said.decode(errors='replace')[-2000:]}")


def say(text):
    print(text, file=sys.stderr, flush=True)


def in_turns(ours, theirs, before=lambda: None, runs=RUNS):
    """Runs two commands in turns; `before` prepares each run. Commands may be functions that give them."""
    counted = []
    for number in range(runs + 1):
        pair = []
        for command in (ours, theirs):
            before()
            pair.append(Run(command() if callable(command) else command))
        if number:
            counted.append(pair)
    return [pair[0] for pair in counted], [pair[1] for pair in counted]


def median(runs, figure):
    return statistics.median(getattr(run, figure) for run in runs)


def row(work, ours, rival, theirs, ratio, bar, met, peak):
    rows.append((work, ours, rival, theirs, ratio, bar, "yes" if met else "**no**", peak))
    say(" | ".join(map(str, rows[-1])))


def compared(work, rival, ours, theirs, figure, bar, least):
    """A row with the rival's figure over ours: above 1 we are the faster."""
    ratio = statistics.median(getattr(b, figure) / getattr(a, figure) for a, b in zip(ours, theirs))
    unit = {"wall": "s", "cpu": "s of processor"}[figure]
    row(work, f"{median(ours, figure):.2f} {unit}", rival, f"{median(theirs, figure):.2f} {unit}",
        f"{ratio:.2f}", bar, ratio >= least, f"{max(run.peak for run in ours):.0f} MiB")


def remove(*paths):
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def sealift(*arguments):
    return [SEALIFT, *map(str, arguments), "--quiet"]


def lock(folder, home=None):
    Run(sealift("lock", "-f", folder / "sealift.toml", "--home", home or RUN / "lock-cache"))


def whole_bundle():
    """The bundle of the whole testbed, made once."""
    bundle = WHOLE / "testbed-1.0"
    if not bundle.exists():
        if not (WHOLE / "sealift.lock").exists():
            lock(WHOLE)
        Run(sealift("build", "-f", WHOLE / "sealift.toml", "-o", WHOLE, "--home", RUN / "whole-cache",
                    "--key", KEY, "--locked"))
    return bundle


def layout():
    """The same images as an OCI layout, by the printed recipe: all volumes in one folder."""
    folder = RUN / "layout"
    if not folder.exists():
        folder.mkdir()
        for volume in sorted((whole_bundle() / "volumes").iterdir()):
            Run(f"zstd -dc {volume} | tar -x -C {folder}")
    return folder


@contextlib.contextmanager
def registry(name):
    """An empty CNCF distribution."""
    folder = RUN / name
    remove(folder)
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config.yml").write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage:\n  filesystem: {{rootdirectory: {folder}/data}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
        try:
            for _ in range(400):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/")
                    break
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


# --- the works -----------------------------------------------------------------------------------


def images_only(folder):
    """A manifest of the images alone: the rival carries nothing else."""
    folder.mkdir()
    entries = "".join(f'\n[[images]]\nimage = "{UPSTREAM}/{name}"\nreferrers = "none"\n' for name in IMAGES)
    (folder / "sealift.toml").write_text(
        f'[bundle]\nname = "images"\nversion = "1"\n{entries}\n[registries."{UPSTREAM}"]\nplain_http = true\n')
    lock(folder)


def build():
    folder, out = RUN / "images", RUN / "out"
    images_only(folder)
    ours = sealift("build", "-f", folder / "sealift.toml", "-o", out, "--home", RUN / "cold", "--key", KEY, "--locked")
    names = " ".join(f"{UPSTREAM}/{name}" for name in IMAGES)
    theirs = (f"mkdir -p {out}; crane pull --insecure --format=oci {names} {RUN}/cold; "
              f"tar -C {RUN}/cold -c . | zstd -q -T0 -3 -o {out}/bundle.tar.zst; sha256sum {out}/bundle.tar.zst")
    a, b = in_turns(ours, theirs, lambda: remove(out, RUN / "cold"))
    compared("build, cold cache", "crane pull, tar \\| zstd -T0 -3, sha256sum", a, b, "wall", "≥ 1", 1.0)
    remove(out, RUN / "cold")


def verify():
    bundle = whole_bundle()
    volumes = " ".join(shlex.quote(str(path)) for path in sorted((bundle / "volumes").iterdir()))
    a, b = in_turns(sealift("verify", bundle, "--key", PUB), f"openssl dgst -sha256 {volumes}")
    compared("verify, full", "openssl dgst -sha256", a, b, "cpu", "≥ 0.8", 0.8)
    compared("verify, full, waiting time", "openssl dgst -sha256", a, b, "wall", "", 0)


def import_():
    bundle, source = whole_bundle(), layout()
    listed = json.loads((source / "index.json").read_text())["manifests"]
    names = [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in listed
             if entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "").startswith(UPSTREAM)]
    images = [name for name in names if "/charts/" not in name and "sha256-" not in name]
    only = [part for name in images for part in ("--name", name)]
    counted = ([], [])
    for number in range(RUNS + 1):
        with registry("destination-a") as host:
            ours = Run(sealift("import", bundle, "--key", PUB, "--to", host, "--plain-http", *only))
        with registry("destination-b") as host:
            copies = "; ".join(
                f"skopeo copy -q --all --dest-tls-verify=false {shlex.quote(f'oci:{source}:{name}')} "
                f"{shlex.quote('docker://' + host + '/' + name.replace(':', '_', 1))}" for name in images)
            theirs = Run(copies)
        if number:
            counted[0].append(ours)
            counted[1].append(theirs)
    compared("import into another registry", "skopeo copy --all from an OCI layout", *counted, "wall", "≥ 1", 1.0)
    remove(RUN / "destination-a", RUN / "destination-b")


def upload(host, repository, content):
    """Puts a blob; gives its descriptor."""
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    started = urllib.request.urlopen(
        urllib.request.Request(f"http://{host}/v2/{repository}/blobs/uploads/", method="POST", data=b""))
    place = started.headers["Location"]
    place += ("&" if "?" in place else "?") + "digest=" + digest
    urllib.request.urlopen(urllib.request.Request(
        place, method="PUT", data=content, headers={"Content-Type": "application/octet-stream"})).close()
    return {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}


def again():
    """Second runs with nothing new, on 1,000 blobs."""
    folder, out, home = RUN / "many", RUN / "many-out", RUN / "many-home"
    folder.mkdir()
    with registry("origin") as host:
        for number in range(50):
            repository = f"many/{number:02}"
            layers = [upload(host, repository, os.urandom(4096)) for _ in range(18)]
            config = upload(host, repository, b'{"n":%d}' % number)
            manifest = json.dumps({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {**config, "mediaType": "application/vnd.example.config+json"}, "layers": layers})
            urllib.request.urlopen(urllib.request.Request(
                f"http://{host}/v2/{repository}/manifests/1", method="PUT", data=manifest.encode(),
                headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"})).close()
        entries = "".join(f'\n[[images]]\nimage = "{host}/many/{n:02}:1"\nreferrers = "none"\n' for n in range(50))
        (folder / "sealift.toml").write_text(
            f'[bundle]\nname = "many"\nversion = "1"\n{entries}\n[registries."{host}"]\nplain_http = true\n')
        lock(folder)
        first = sealift("build", "-f", folder / "sealift.toml", "-o", out, "--home", home, "--key", KEY, "--locked")
        Run(first)
        bundle = out / "many-1"

        def timed(work, command, before=lambda: None):
            runs = []
            for _ in range(RUNS + 1):
                before()
                runs.append(Run(command))
            took = median(runs[1:], "wall")
            row(work, f"{took:.2f} s", "", "", "", "< 1 s", took < 1, f"{max(run.peak for run in runs):.0f} MiB")

        timed("second build, same folder, 1,000 blobs", first)
        timed("second build, new folder, 1,000 blobs", first, lambda: remove(out))
        into_home = sealift("import", bundle, "--key", PUB, "--home", RUN / "many-site")
        Run(into_home)
        timed("second import into the home store, 1,000 blobs", into_home)
        with registry("many-destination") as destination:
            into_registry = sealift("import", bundle, "--key", PUB, "--to", destination, "--plain-http")
            Run(into_registry)
            timed("second import into a registry, 1,000 blobs", into_registry)
        inspected(bundle, "inspect, 1,000 blobs")


def inspected(bundle, work):
    runs = [Run(sealift("inspect", bundle)) for _ in range(4 * RUNS)]
    took = median(runs, "wall") * 1000
    row(work, f"{took:.0f} ms", "", "", "", "< 50 ms", took < 50, f"{max(run.peak for run in runs):.0f} MiB")


def inspect():
    inspected(whole_bundle(), "inspect, whole testbed")


class DiskWatch(threading.Thread):
    """The most bytes that some folders held together, looked at twenty times a second."""

    def __init__(self, *folders):
        super().__init__(daemon=True)
        self.folders, self.most, self.over = folders, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, held(*self.folders))


def held(*folders):
    total = 0
    for folder in folders:
        for place, _, files in os.walk(folder):
            for name in files:
                with contextlib.suppress(OSError):
                    total += os.stat(os.path.join(place, name)).st_blocks * 512
    return total


def big():
    """One synthetic file: memory stays bounded, and no second copy is made."""
    folder, home, site = RUN / "big", RUN / "big-home", RUN / "big-site"
    folder.mkdir()
    source = folder / "blob"
    size = int(re.sub(r"\D", "", BIG)) * {"G": 1 << 30, "M": MIB}[BIG[-1]]
    # random bytes, by a cipher: fast, and nothing to compress
    Run(f"head -c {size} /dev/zero | openssl enc -aes-128-ctr -nosalt -pass pass:bench -out {source} 2>/dev/null")
    (folder / "sealift.toml").write_text('[bundle]\nname = "big"\nversion = "1"\n\n[[files]]\npath = "blob"\n')
    lock(folder, home)
    steps = (
        ("build", sealift("build", "-f", folder / "sealift.toml", "-o", folder, "--home", home, "--key", KEY, "--locked"),
         (home, folder / "big-1", folder / ".big-1.partial")),
        ("verify", sealift("verify", folder / "big-1", "--key", PUB), ()),
        ("import", sealift("import", folder / "big-1", "--key", PUB, "--home", site), (site,)),
    )
    for name, command, folders in steps:
        watch = DiskWatch(*folders)
        run = Run(command)
        watch.over.set()
        watch.join()
        row(f"{name} of one {BIG}iB file, memory", f"{run.peak:.0f} MiB", "", "", "", "< 96 MiB", run.peak < 96,
            f"{run.peak:.0f} MiB")
        row(f"{name} of one {BIG}iB file, rate", f"{size / MIB / run.wall:.0f} MiB/s", "", "", "", "", True, "")
        if folders:
            most, left = watch.most / size, held(*folders) / size
            row(f"{name} of one {BIG}iB file, disk", f"{most:.2f} × the file", "", "", "",
                "what is kept, no second copy", most <= left + 0.02, "")
        if name == "build":
            remove(home)
    remove(folder, site)


WORKS = {"build": build, "verify": verify, "import": import_, "again": again, "inspect": inspect, "big": big}


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "processor")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} × {model}, {memory} GiB, {os.uname().sysname} {os.uname().release}"


for wanted in sys.argv[1:] or WORKS:
    if wanted not in WORKS:
        sys.exit(f"no work '{wanted}'; there are: {' '.join(WORKS)}")
    say(f"# {wanted}")
    WORKS[wanted]()

peak = max((float(line[7].split()[0]) for line in rows if line[7]), default=0)
if peak:
    row("peak memory of all of these", f"{peak:.0f} MiB", "", "", "", "< 96 MiB", peak < 96, "")
print(f"Machine: {machine()}. Medians of {RUNS} runs in turns; the ratio is the rival's time over ours.\n")
print("| work | sealift | rival | rival's | ratio | bar | met | peak memory |\n|---|---|---|---|---|---|---|---|")
for line in rows:
    print("| " + " | ".join(line) + " |")

"""Fails the k-th change of the disk, for every k, and cuts the power behind every k.

    python3 faults.py FOLDER SEALIFT DEMO [SCENARIO...]

FOLDER is empty or missing; DEMO is `testdata/demo`. Each scenario is one command on small content. `faults.c` counts
what it does to the disk, SQLite included, and makes it fail; `disk.py` knows what a power cut would leave. After each
failure and each cut: the exit code and the message are right, the state is old or new, running again finishes, and
what is acknowledged is durable. Seeds are fixed: the same program gives the same runs.
"""

import base64
import collections
import concurrent.futures
import copy
import hashlib
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import disk
from homes import Between, blobs_of, bytes_of, folder_of, published_in, trusted_in

FOLDER, SEALIFT, DEMO = (pathlib.Path(argument).absolute() for argument in sys.argv[1:4])
WANTED = sys.argv[4:]
SHIM = FOLDER / "faults.so"
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "SOURCE_DATE_EPOCH": "1795219200"}
# Kind, whether all that follows fails too.
KINDS = [("eio", False), ("eio", True), ("enospc", False), ("enospc", True), ("short", False), ("short", True)]
COUNTED = {"create", "mkdir", "link", "unlink", "rmdir", "rename", "write", "truncate", "sync"}


# What the kernel sees of each. Files that are opened to be made cannot be told from others there; the rest shows them.
SYSTEM_CALLS = dict(
    write="write", pwrite64="write", writev="write", pwritev="write", pwritev2="write", copy_file_range="copy",
    sendfile="copy", splice="copy", fallocate="allocate", truncate="truncate", ftruncate="truncate", fsync="sync",
    fdatasync="sync", sync_file_range="sync", syncfs="sync", rename="rename", renameat="rename", renameat2="rename",
    link="link", linkat="link", symlink="link", symlinkat="link", unlink="unlink", unlinkat="unlink", rmdir="rmdir",
    mkdir="mkdir", mkdirat="mkdir", mknod="mkdir", mknodat="mkdir",
)


def sealift(folder, arguments, log=None, at=0, kind="eio", sticky=False, under=()):
    """Runs sealift in a folder, with `faults.c` if there is a log, under another program if there is one."""
    environment = dict(ENVIRONMENT)
    if log:
        folder = folder.resolve()
        environment |= {"LD_PRELOAD": str(SHIM), "FAULTS_ROOT": str(folder), "FAULTS_LOG": str(log)}
    if at:
        environment |= {"FAULTS_AT": str(at), "FAULTS_KIND": kind} | ({"FAULTS_STICKY": "1"} if sticky else {})
    command = [*under, SEALIFT, *arguments, "--jobs", "1", "--output", "json", "--quiet"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def good(ran):
    if ran.returncode != 0:
        raise Between(f"exit {ran.returncode}: {ran.stdout}{ran.stderr}")
    return ran.stdout


# --- what is looked at: each part is old or new by itself ------------------------------------------------


def key_of(path):
    """Whether there is a key; one that is there is whole."""
    text = bytes_of(path)
    if text is not None:
        subprocess.run([SEALIFT, "key", "public", path], env=ENVIRONMENT, check=True, capture_output=True)
    return text is not None


def build_parts(folder):
    blobs_of(folder / "cache")
    return {"bundle": folder_of(folder / "media/new/demo-1.0")}


def receipt_of(path):
    """What a receipt says that does not depend on the time and on what an earlier run had brought already."""
    if not path.exists():
        return None
    _summary, own = path.read_text().splitlines()
    statement = json.loads(base64.b64decode(json.loads(own)["payload"]))
    facts = statement["predicate"]
    return json.dumps([statement["subject"], facts["result"], facts["channel"], facts["bundle"]])


def import_parts(folder):
    parts = {"home": published_in(folder / "home"), "receipt": receipt_of(folder / "receipt.json")}
    return parts | {"files": folder_of_files(folder / "files")}


def folder_of_files(path):
    return tuple((name, digest) for name, digest in folder_of(path) or () if not name.startswith("."))


# --- the scenarios ---------------------------------------------------------------------------------------

KEY = ["--key", "release.pub"]
IMPORT = ["import", "media/demo-2.0", *KEY, "--home", "home"]


# A command, what is looked at, how the folder before it is made, and the codes of a rerun on what is new.
Scenario = collections.namedtuple("Scenario", "name arguments parts prepare again", defaults=[(0,)])


def project(folder):
    """The demo's manifest, locked, with a key."""
    shutil.copytree(DEMO, folder)
    sealift(folder, ["key", "generate", "-o", "release.key", "--no-passphrase"])
    public = json.loads(good(sealift(folder, ["key", "public", "release.key"])))["public_key"]
    (folder / "release.pub").write_text(public)
    good(sealift(folder, ["lock", "--home", "warm"]))
    shutil.rmtree(folder / "warm")


def small_project(folder):
    """Only the file: an image does the same over and over."""
    project(folder)
    manifest = (folder / "sealift.toml").read_text()
    head, files = manifest.index("[[images]]"), manifest.index("[[files]]")
    (folder / "sealift.toml").write_text(manifest[:head] + manifest[files:])
    good(sealift(folder, ["lock", "--home", "warm"]))
    shutil.rmtree(folder / "warm")


def unlocked(folder):
    small_project(folder)
    (folder / "sealift.lock").unlink()


def bundles(folder):
    """The demo as 1.0, and as 2.0 with another file under the same name; a home that is not there."""
    project(folder)
    good(sealift(folder, ["build", "-o", "media", "--home", "warm", "--key", "release.key"]))
    (folder / "motd.txt").write_text("moved on\n")
    manifest = (folder / "sealift.toml").read_text().replace('version = "1.0"', 'version = "2.0"\nsequence = 2')
    (folder / "sealift.toml").write_text(
        "\n".join(line for line in manifest.splitlines() if not line.startswith("sha256")) + "\n"
    )
    good(sealift(folder, ["lock", "--update", "--home", "warm"]))
    good(sealift(folder, ["build", "-o", "media", "--home", "warm", "--key", "release.key"]))
    shutil.rmtree(folder / "warm")


def release(folder):
    """A signed bundle, and a second key."""
    small_project(folder)
    good(sealift(folder, ["build", "-o", "media", "--home", "warm", "--key", "release.key"]))
    shutil.rmtree(folder / "warm")
    public = json.loads(good(sealift(folder, ["key", "generate", "-o", "second.key", "--no-passphrase"])))["public_key"]
    (folder / "second.pub").write_text(public)


def sign_it(folder):
    digest = hashlib.sha256((folder / "media/demo-1.0/SHA256SUMS").read_bytes()).hexdigest()
    return ["sign", "media/demo-1.0", "--key", "second.key", "--digest", digest, "--home", "home"]


def site(folder):
    """A home that holds 1.0, and 2.0 on the media."""
    bundles(folder)
    good(sealift(folder, ["import", "media/demo-1.0", *KEY, "--home", "home"]))


def pinned(folder):
    """A site that believes version 1, and version 2 beside it."""
    release(folder)
    good(sealift(folder, ["trust", "init", "--out", "trust", *TRUST]))
    endorse(folder)
    shutil.copy(folder / "trust/0001.trust", folder / "root.trust")
    good(sealift(folder, ["trust", "init", "--site", "plant-7", "--root", "root.trust", "--home", "home"]))
    third = json.loads(good(sealift(folder, ["key", "generate", "-o", "third.key", "--no-passphrase"])))["public_key"]
    (folder / "third.pub").write_text(third)
    good(sealift(folder, ["trust", "rotate", "trust", "bob", "third.pub"]))
    endorse(folder)


def endorse(folder):
    """Alice signs the newest trust document."""
    documents = json.loads(good(sealift(folder, ["trust", "show", "trust"])))["documents"]
    fingerprint = documents[-1]["fingerprint"]
    good(sealift(folder, ["trust", "sign", "trust", "--key", "release.key", "--fingerprint", fingerprint]))


TRUST = ["--key", "root:alice=release.pub", "--key", "release:bob=second.pub"]

SCENARIOS = [
    Scenario("key generate", ["key", "generate", "-o", "new.key", "--no-passphrase"],
             lambda folder: {"key": key_of(folder / "new.key")}, project, (0, 2)),
    Scenario("lock", ["lock", "--home", "cache"],
             lambda folder: {"lock": bytes_of(folder / "sealift.lock")}, unlocked),
    Scenario("build", ["build", "--locked", "-o", "media/new", "--home", "cache", "--key", "release.key"],
             build_parts, small_project),
    Scenario("sign", sign_it, lambda folder: {"signatures": folder_of(folder / "media/demo-1.0")}, release),
    Scenario("trust init", ["trust", "init", "--out", "roots/trust", *TRUST],
             lambda folder: {"trust": bytes_of(folder / "roots/trust/0001.trust")}, release, (0, 2)),
    Scenario("trust accept", ["trust", "accept", "trust/0002.trust", "--home", "home"],
             lambda folder: {"trust": trusted_in(folder / "home")}, pinned),
    Scenario("mirror-config", ["mirror-config", "--for", "crio", "--registry", "reg.site", "--upstream", "quay.io", "-o", "nodes"],
             lambda folder: {"file": bytes_of(folder / "nodes/etc/containers/registries.conf.d/50-sealift-mirror.conf")},
             project),
    Scenario("first import", [*IMPORT, "--name", "files/*"], import_parts, bundles),
    Scenario("import", [*IMPORT, "--files-to", "files", "--receipt", "receipt.json"], import_parts, site),
]


# --- the runs --------------------------------------------------------------------------------------------


class Stage:
    """A scenario with its folder before, its clean run, and what is old and new."""

    def __init__(self, scenario, here):
        self.scenario, self.here = scenario, here
        self.before = here / "before"
        here.mkdir(parents=True)
        scenario.prepare(self.before)
        if callable(scenario.arguments):
            self.scenario = scenario = scenario._replace(arguments=scenario.arguments(self.before))
        with self.copy() as (folder, log):
            self.model = disk.Disk(folder)
            self.old = scenario.parts(folder)
            good(sealift(folder, scenario.arguments, log))
            self.record = disk.read_record(log)
            self.new = scenario.parts(folder)
        self.kinds = [fields[0] for fields in self.record if fields[0] in COUNTED]
        self.nothing_bypasses()
        if self.old == self.new:
            raise Between("the command changed nothing that is looked at")

    def copy(self):
        return Copy(self.here, lambda folder: shutil.copytree(self.before, folder))

    def nothing_bypasses(self):
        """The kernel sees no change of the disk that the record does not have."""
        with self.copy() as (folder, log):
            trace = folder.with_name("trace")
            good(sealift(folder, self.scenario.arguments, log, under=[
                "strace", "-f", "-qq", "-y", "-e", "signal=none", "-e", "status=successful",
                "-e", f"trace={','.join(SYSTEM_CALLS)}", "-o", trace,
            ]))
            told = collections.Counter(fields[0] for fields in disk.read_record(log))
            seen = collections.Counter()
            for line in trace.read_text().splitlines():
                call = re.match(r"\d+ +(\w+)\((\d+<[^>]*>)?", line)
                # Calls that take a path are all of this folder: it is where the program runs.
                if call and (call[2] is None or str(folder) in call[2]):
                    seen["rmdir" if "AT_REMOVEDIR" in line else SYSTEM_CALLS[call[1]]] += 1
        told = {kind: told[kind] for kind in set(SYSTEM_CALLS.values()) if told[kind]}
        if told != dict(seen):
            raise Between(f"the kernel sees other changes than the library: {dict(seen)}, {told}")

    def look(self, folder, allowed=("old", "new")):
        """Fails unless every part is one of what is allowed; looks at a copy, since SQLite mends what it opens."""
        with Copy(self.here, lambda place: shutil.copytree(folder, place)) as (place, _log):
            found = self.scenario.parts(place)
        for part, value in found.items():
            states = {"old": self.old[part], "new": self.new[part]}
            if all(value != states[state] for state in allowed):
                raise Between(f"{part} is not {' or '.join(allowed)}: {value}")
        return found

    def finish(self, folder, log, model):
        """Runs the command again, which must finish; then nothing of it may hang on the power."""
        already = self.scenario.parts(folder) == self.new if len(self.scenario.again) > 1 else False
        ran = sealift(folder, self.scenario.arguments, log)
        if ran.returncode not in (self.scenario.again if already else (0,)):
            raise Between(f"the rerun ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
        self.look(folder, ("new",))
        if model:
            for fields in disk.read_record(log):
                wrong = model.apply(fields)
                if wrong:
                    raise Between(f"the rerun: {wrong}")
            if ran.returncode == 0:
                self.durable(model, "the rerun")
        left = [str(path.relative_to(folder)) for path in folder.rglob("*") if is_leftover(path)]
        if left:
            raise Between(f"the rerun leaves {left}")

    def durable(self, model, what):
        """What is done is done: a power cut now takes nothing of it."""
        mapped = [name for name in model.mapped_names() if not name.endswith(disk.VOLATILE)]
        if mapped:
            raise Between(f"{mapped} are written through maps")
        _how, tree = next(model.survivors(0))
        with Copy(self.here, lambda place: disk.write_tree(tree, place)) as (place, _log):
            try:
                self.look(place, ("new",))
            except Between as between:
                lost = model.unsynced(model.root, ".")
                raise Between(f"{what} is acknowledged, and a power cut takes {lost}: {between}") from None


def is_leftover(path):
    """A name under which something is under way. What `write_atomic` leaves when killed has a number of its own."""
    return path.name.endswith((".part", ".partial"))


class Copy:
    """A folder and a record for one run."""

    def __init__(self, here, fill):
        self.here, self.fill = here, fill

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.here))
        self.fill(self.folder / "work")
        return self.folder / "work", self.folder / "log"

    def __exit__(self, *_):
        shutil.rmtree(self.folder)


def failed_run(at, kind, sticky):
    """One run whose operation `at` fails; whether it came to that."""
    stage = STAGE
    with stage.copy() as (folder, log):
        model = disk.Disk(folder)
        ran = sealift(folder, stage.scenario.arguments, log, at, kind, sticky)
        for fields in disk.read_record(log):
            model.apply(fields)
        if not model.faults:
            return False
        try:
            if ran.returncode == 0:
                stage.look(folder, ("new",))
                stage.durable(model, f"{stage.scenario.name}")
            else:
                refused(ran)
                stage.look(folder)
            stage.finish(folder, folder.with_name("again"), model)
        except Between as between:
            kind = f"{kind}{' from then on' if sticky else ''}"
            raise Between(f"operation {at} ({model.faults[0]}) with {kind}: {between}") from None
        return True


def refused(ran):
    """The right exit code, and a message that says what to do."""
    if ran.returncode != 3 or "panicked" in ran.stderr:
        raise Between(f"exit {ran.returncode}: {ran.stdout}{ran.stderr}")
    for failure in json.loads(ran.stdout)["failures"]:
        if not (failure["hint"] and failure["object"]):
            raise Between(f"no word of what to do: {failure}")


def cut_run(tree, moment, allowed):
    """The folder after a power cut: old or new, and the rerun finishes."""
    stage = STAGE
    with Copy(stage.here, lambda place: disk.write_tree(tree, place)) as (folder, log):
        try:
            stage.look(folder, allowed)
            stage.finish(folder, log, None)
        except Between as between:
            raise Between(f"power cut {moment}: {between}") from None


def kill_run(model, moment):
    """The folder after a kill, with the power on: the same, and what the rerun found counts as its own work."""
    stage = STAGE
    with Copy(stage.here, lambda place: disk.write_tree(model.as_is(), place)) as (folder, log):
        model.number(folder)
        try:
            stage.look(folder)
            stage.finish(folder, log, model)
        except Between as between:
            raise Between(f"killed {moment}: {between}") from None


# The scenario that is played; processes that are forked for its runs have it too.
STAGE = None


def jobs(stage):
    """Everything to be run for a scenario, as (function, arguments)."""
    for at, operation in enumerate(stage.kinds, 1):
        for kind, sticky in KINDS:
            if kind != "short" or operation == "write":
                yield failed_run, (at, kind, sticky)
    model, seen, done, acknowledged = stage.model, set(), 0, False
    for number, fields in enumerate([None, *stage.record]):
        if fields:
            wrong = model.apply(fields)
            if wrong:
                raise Between(wrong)
            done += fields[0] in COUNTED
            acknowledged |= fields[0] == "say"
            if fields[0] not in COUNTED and fields[0] != "say":
                continue
        moment = f"behind operation {done} ({fields[0] if fields else 'none'})"
        for how, tree in model.survivors(number):
            state = (acknowledged, hashlib.sha256(repr(sorted(tree.items())).encode()).digest())
            if state not in seen:
                seen.add(state)
                allowed = ("new",) if acknowledged else ("old", "new")
                yield cut_run, (tree, f"{moment}, {how}", allowed)
        yield kill_run, (copy.deepcopy(model), moment)
    stage.durable(model, stage.scenario.name)


def outcome(job):
    work, arguments = job
    try:
        return work.__name__, work(*arguments), None
    except Between as between:
        return work.__name__, True, str(between)


def play(scenario, here):
    global STAGE
    begun = time.monotonic()
    stage = STAGE = Stage(scenario, here)
    counts, wrong = collections.Counter(), []
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(mp_context=fork) as pool:
        for name, happened, between in pool.map(outcome, jobs(stage), chunksize=4):
            counts[name] += happened is not False
            if between:
                wrong.append(between)
    runs = f"{counts['failed_run']} failures, {counts['cut_run']} power cuts, {counts['kill_run']} kills"
    print(f"# {scenario.name}: {len(stage.kinds)} operations; {runs} in {time.monotonic() - begun:.0f} s")
    for between in wrong[:20]:
        print(f"#   {between}"[:2000])
    print(f"{'not ok' if wrong else 'ok'} {scenario.name}: {len(wrong)} of {sum(counts.values())} runs are wrong")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    source = pathlib.Path(__file__).with_name("faults.c")
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O2", "-o", SHIM, source, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    for scenario in SCENARIOS:
        if not WANTED or scenario.name in WANTED:
            try:
                play(scenario, FOLDER / scenario.name.replace(" ", "-"))
            except Between as between:
                print(f"not ok {scenario.name}: {between}")


if __name__ == "__main__":
    main()

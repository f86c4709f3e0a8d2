"""Kills `build` and `import` at random moments and looks at what is left: old or new, never between.

    python3 kill.py FOLDER SEALIFT KEY PUB MANIFEST_A MANIFEST_B ROUNDS [SEED]

The manifests lock the same tags at two moments, as bundle kill 1 and kill 2, each with its lock beside it. Each round
of `build` starts from an empty or a warm cache. Each round of `import` starts from a home that holds A, and imports B.
Only a round that killed a running process counts.
"""

import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

FOLDER, SEALIFT, KEY, PUB, MANIFEST_A, MANIFEST_B = sys.argv[1:7]
ROUNDS = int(sys.argv[7])
SEED = int(sys.argv[8]) if len(sys.argv) > 8 else random.SystemRandom().randrange(1 << 32)
FOLDER = pathlib.Path(FOLDER)
choose = random.Random(SEED)
# The span that the moments are drawn from follows the machine's load: about every fifth comes after the end.
TOO_EARLY, TOO_LATE = 1.01, 0.96


class Between(Exception):
    """A state that is neither old nor new, or a rerun that does not finish."""


def sealift(*arguments):
    """Runs sealift to its end; how long it took."""
    begun = time.monotonic()
    done = subprocess.run([SEALIFT, *map(str, arguments), "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Between(f"{arguments[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return time.monotonic() - begun


def killed(wait, *arguments):
    """Starts sealift and kills it after `wait` seconds; whether it was still running."""
    running = subprocess.Popen(
        [SEALIFT, *map(str, arguments), "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(wait)
    running.send_signal(signal.SIGKILL)
    return running.wait() == -signal.SIGKILL


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


def build_rounds(rounds):
    """Kills builds until so many were still running; how many rounds that took."""
    out, home = FOLDER / "out", FOLDER / "build-home"
    arguments = ("build", "-f", MANIFEST_B, "-o", out, "--home", home, "--key", KEY, "--locked")
    bundle = out / "kill-2"
    remove(home)
    remove(out)
    times = {True: sealift(*arguments)}
    remove(out)
    times[False] = sealift(*arguments)
    hit = number = 0
    while hit < rounds:
        cold = number % 2 == 0
        number += 1
        remove(out)
        if cold:
            remove(home)
        was_hit = killed(choose.uniform(0, times[cold]), *arguments)
        hit += was_hit
        times[cold] *= TOO_EARLY if was_hit else TOO_LATE
        if bundle.exists():
            sealift("verify", bundle, "--key", PUB)
        sealift(*arguments)
        sealift("verify", bundle, "--key", PUB)
        left = sorted(entry.name for entry in out.iterdir())
        if left != ["kill-2"]:
            raise Between(f"beside the bundle there is {left}")
    return f"in {number} rounds"


class Served:
    """`sealift serve` over a home, as long as the block lasts."""

    def __init__(self, home):
        self.home = home

    def __enter__(self):
        self.log = open(FOLDER / "serve.log", "w+")
        self.process = subprocess.Popen(
            [SEALIFT, "serve", "--home", self.home, "--listen", "127.0.0.1:0"], stdout=self.log, stderr=self.log
        )
        for _ in range(500):
            found = re.search(r"127\.0\.0\.1:[1-9]\d*", (FOLDER / "serve.log").read_text())
            if found:
                self.address = found[0]
                return self
            time.sleep(0.01)
        raise Between("serve did not start: " + (FOLDER / "serve.log").read_text())

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}/v2/{path}", timeout=20) as answer:
            return answer.read()


def state(home):
    """Every tag with its digest; everything below the tags is read and hashed."""
    found = {}
    with Served(home) as served:
        for repository in json.loads(served.get("_catalog"))["repositories"]:
            for tag in json.loads(served.get(f"{repository}/tags/list"))["tags"]:
                body = served.get(f"{repository}/manifests/{tag}")
                found[f"{repository}:{tag}"] = hashlib.sha256(body).hexdigest()
                manifest = json.loads(body)
                for blob in [manifest["config"], *manifest["layers"]]:
                    content = served.get(f"{repository}/blobs/{blob['digest']}")
                    if "sha256:" + hashlib.sha256(content).hexdigest() != blob["digest"]:
                        raise Between(f"{repository}:{tag} serves other bytes for {blob['digest']}")
    return found


def import_rounds(rounds):
    """Kills imports until so many were still running; how many rounds that took, and what was found after them."""
    home, before = FOLDER / "home", FOLDER / "home-a"
    for manifest in (MANIFEST_A, MANIFEST_B):
        sealift("build", "-f", manifest, "-o", FOLDER / "bundles", "--home", FOLDER / "build-home",
                "--key", KEY, "--locked")
    sealift("import", FOLDER / "bundles/kill-1", "--key", PUB, "--home", before)
    old = state(before)
    arguments = ("import", FOLDER / "bundles/kill-2", "--key", PUB, "--home", home)
    shutil.copytree(before, home)
    lasts = sealift(*arguments)
    new = state(home)
    if old == new or old.keys() != new.keys():
        raise Between(f"the two bundles do not differ as they should: {old} {new}")
    hit, seen = 0, {"old": 0, "new": 0}
    while hit < rounds:
        remove(home)
        shutil.copytree(before, home)
        was_hit = killed(choose.uniform(0, lasts), *arguments)
        hit += was_hit
        lasts *= TOO_EARLY if was_hit else TOO_LATE
        found = state(home)
        if found not in (old, new):
            raise Between(f"the home is between: {found}")
        seen["old" if found == old else "new"] += 1
        sealift(*arguments)
        if state(home) != new:
            raise Between("the rerun did not finish the import")
    return f"in {sum(seen.values())} rounds: {seen['old']} times old, {seen['new']} times new"


FOLDER.mkdir(parents=True, exist_ok=True)
print(f"# seed {SEED}")
for name, rounds in (("build", build_rounds), ("import", import_rounds)):
    count = ROUNDS // 2
    try:
        print(f"# {name}: {count} killed while running, {rounds(count)}")
        print(f"ok {count} kills of {name}: old or new, and the rerun finishes")
    except Between as between:
        print(f"not ok {name} killed (seed {SEED}): {between}")

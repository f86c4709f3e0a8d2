"""Kills `build` and `import` at random moments and looks at what is left: old or new, never between.

    python3 kill.py FOLDER SEALIFT BUILDS IMPORTS [SEED]

Bundle kill 1 and kill 2 hold other files under the same names. Each round of `build` makes kill 2 from an empty or a
warm cache. Each round of `import` starts from a home that holds kill 1, and imports kill 2. Only a round that killed
a running process counts. Several rounds run at once, each in a folder of its own.
"""

import collections
import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

from homes import Between, folder_of, published_in

FOLDER, SEALIFT = (pathlib.Path(argument).absolute() for argument in sys.argv[1:3])
BUILDS, IMPORTS = int(sys.argv[3]), int(sys.argv[4])
SEED = int(sys.argv[5]) if len(sys.argv) > 5 else random.SystemRandom().randrange(1 << 32)
WORKERS = os.cpu_count() or 2
# Moments are drawn from a little more than a whole run; the measure follows the machine's load.
SPAN, TOO_EARLY, TOO_LATE = 1.1, 1.01, 0.97
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "SOURCE_DATE_EPOCH": "1795219200"}


def start(*arguments):
    command = [SEALIFT, *arguments, "--quiet"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(list(map(str, command)), cwd=FOLDER, env=ENVIRONMENT, text=True, **pipes)


def sealift(*arguments):
    """Runs sealift to its end; what it says."""
    running = start(*arguments)
    said, trouble = running.communicate(timeout=60)
    if running.returncode != 0:
        raise Between(f"{arguments[0]} ended with {running.returncode}: {trouble.strip()}")
    return said


def timed(*arguments):
    begun = time.monotonic()
    sealift(*arguments)
    return time.monotonic() - begun


def killed(wait, *arguments):
    """Starts sealift and kills it after `wait` seconds; whether it was still running."""
    running = start(*arguments)
    time.sleep(wait)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    if running.returncode not in (0, -signal.SIGKILL):
        raise Between(f"{arguments[0]} ended by itself with {running.returncode}")
    return running.returncode != 0


def remove(*paths):
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def left_in(*folders):
    """What is under way in folders where nothing is: what killed runs leave must not add up (C07)."""
    return [str(path) for folder in folders for path in folder.rglob("*") if path.name.endswith((".part", ".partial"))]


def prepare():
    """Both bundles, and the home that holds the first."""
    choose = random.Random(SEED)
    sealift("key", "generate", "-o", "release.key", "--no-passphrase")
    (FOLDER / "release.pub").write_text(sealift("key", "public", "release.key"))
    for number in (1, 2):
        project = FOLDER / f"project-{number}"
        project.mkdir()
        manifest = f'[bundle]\nname = "kill"\nversion = "{number}"\nsequence = {number}\n'
        for name in range(6):
            (project / f"file-{name}").write_bytes(choose.randbytes(150_000))
            manifest += f'\n[[files]]\npath = "file-{name}"\n'
        (project / "sealift.toml").write_text(manifest)
        sealift("lock", "-f", project / "sealift.toml", "--home", "warm")
        sealift(*build_arguments(number, "bundles", "warm"))
        sealift("verify", f"bundles/kill-{number}", "--key", "release.pub")
    sealift(*import_arguments(1, "before"))


def build_arguments(number, out, home):
    manifest = f"project-{number}/sealift.toml"
    return "build", "-f", manifest, "-o", out, "--home", home, "--key", "release.key", "--locked"


def import_arguments(number, home):
    return "import", f"bundles/kill-{number}", "--key", "release.pub", "--home", home


def build_rounds(worker, rounds):
    """Kills builds until so many were still running; what was found."""
    choose = random.Random(f"{SEED} build {worker}")
    out, cold_home, warm_home = (FOLDER / f"{name}-{worker}" for name in ("out", "cold", "warm"))
    shutil.copytree(FOLDER / "warm", warm_home)
    whole, seen = folder_of(FOLDER / "bundles/kill-2"), collections.Counter()
    homes = {True: cold_home, False: warm_home}
    times = {}
    for cold, home in homes.items():
        times[cold] = timed(*build_arguments(2, out, home))
        remove(out)
    while seen["killed"] < rounds:
        cold = seen["rounds"] % 2 == 0
        seen["rounds"] += 1
        remove(out, cold_home)
        was_hit = killed(choose.uniform(0, times[cold] * SPAN), *build_arguments(2, out, homes[cold]))
        seen["killed"] += was_hit
        times[cold] *= TOO_EARLY if was_hit else TOO_LATE
        found = folder_of(out / "kill-2")
        if found not in (None, whole):
            raise Between(f"the bundle is between: {found}")
        seen["new" if found else "old"] += 1
        sealift(*build_arguments(2, out, homes[cold]))
        left = sorted(entry.name for entry in out.iterdir()) + left_in(homes[cold])
        if folder_of(out / "kill-2") != whole or left != ["kill-2"]:
            raise Between(f"the rerun did not finish the bundle, or left more: {left}")
    return seen


def import_rounds(worker, rounds):
    """Kills imports until so many were still running; what was found."""
    choose = random.Random(f"{SEED} import {worker}")
    home, before = FOLDER / f"home-{worker}", FOLDER / "before"
    shutil.copytree(before, home)
    old = published_in(before)
    lasts, seen = timed(*import_arguments(2, home)), collections.Counter()
    new = published_in(home)
    if old is None or old == new or [tag[:2] for tag in old[0]] != [tag[:2] for tag in new[0]]:
        raise Between(f"the two bundles do not differ as they should: {old} {new}")
    while seen["killed"] < rounds:
        remove(home)
        shutil.copytree(before, home)
        was_hit = killed(choose.uniform(0, lasts * SPAN), *import_arguments(2, home))
        # Every fourth is killed again and again before it may finish: leftovers must not add up.
        again = 3 if choose.random() < 0.25 else 0
        seen["killed"] += was_hit
        seen["rounds"] += 1
        lasts *= TOO_EARLY if was_hit else TOO_LATE
        seen["killed"] += sum(killed(choose.uniform(0, lasts * SPAN), *import_arguments(2, home)) for _ in range(again))
        if len(left_in(home)) > 2 * WORKERS:
            raise Between(f"killed runs leave {left_in(home)}")
        # SQLite mends what it opens, and the rerun shall find it as it was left.
        looked = home.with_name(f"{home.name}-looked")
        remove(looked)
        shutil.copytree(home, looked)
        found = published_in(looked)
        if found not in (old, new):
            raise Between(f"the home is between: {found}")
        seen["old" if found == old else "new"] += 1
        sealift(*import_arguments(2, home))
        if published_in(home) != new or left_in(home):
            raise Between(f"the rerun did not finish the import, or left {left_in(home)}")
    return seen


def outcome(rounds_of, worker, rounds):
    try:
        return rounds_of(worker, rounds)
    except Between as between:
        return str(between)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    print(f"# seed {SEED}")
    prepare()
    for name, rounds_of, count in (("build", build_rounds, BUILDS), ("import", import_rounds, IMPORTS)):
        begun = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(WORKERS) as pool:
            runs = [pool.submit(outcome, rounds_of, worker, -(-count // WORKERS)) for worker in range(WORKERS)]
        seen = collections.Counter()
        for run in runs:
            if isinstance(run.result(), str):
                print(f"not ok {name} killed (seed {SEED}): {run.result()}")
                return
            seen += run.result()
        print(f"# {name}: {seen['killed']} killed in {seen['rounds']} rounds, {seen['old']} times old, "
              f"{seen['new']} times new; {time.monotonic() - begun:.0f} s")
        print(f"ok {seen['killed']} kills of {name}: old or new, and the rerun finishes")


if __name__ == "__main__":
    main()

"""Checks that every relative link of every tracked Markdown file leads somewhere, headings included."""

import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def anchors(path):
    """The anchors that GitHub makes of the headings of a file, and those that it has of its own."""
    words = FENCE.sub("", path.read_text())
    found = set(re.findall(r'<a id="([^"]+)"', words))
    for heading in re.findall(r"^#+\s+(.*)$", words, re.MULTILINE):
        text = re.sub(r"<[^>]*>", "", heading).strip().lower()
        text = re.sub(r"[^\w\- ]", "", text)
        found.add(text.replace(" ", "-"))
    return found


def faults(path):
    """The links of one file that lead nowhere."""
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name) if name else path
        if not there.exists():
            yield f"{path}: {target}: there is no such file"
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            yield f"{path}: {target}: there is no such heading"


names = subprocess.run(["git", "ls-files", "*.md"], check=True, capture_output=True, text=True).stdout
found = [fault for name in names.splitlines() for fault in faults(pathlib.Path(name))]
if found:
    print("\n".join(found), file=sys.stderr)
sys.exit(1 if found else 0)

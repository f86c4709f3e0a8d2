"""What a disk holds after a power cut: a model fed with the record of `faults.c`.

A file has what was written and what was synced; a folder has entries of which some are not durable yet. Only a sync
of the file keeps its bytes, only a sync of the folder keeps its names: what POSIX promises and no more. A rename is
one step: it is kept by a sync of either folder, whole or not at all.
"""

import os
import pathlib
import random

# Rebuilt by SQLite from nothing whenever nobody has the database open.
VOLATILE = "-shm"


class Inode:
    def __init__(self, is_folder, mode, content=b""):
        self.is_folder, self.mode = is_folder, mode
        self.content, self.kept = bytearray(content), bytes(content)
        self.pending = []


def patched(content, change):
    """The content after one write (offset, bytes) or one truncation (size, None)."""
    content = bytearray(content)
    place, written = change
    if len(content) < place:
        content.extend(bytes(place - len(content)))
    if written is None:
        del content[place:]
    else:
        content[place:place + len(written)] = written
    return content


class Step:
    """A change of names: which folders it is of, and whether it is durable."""

    def __init__(self, kind, folders, names, inode=None):
        self.kind, self.folders, self.names, self.inode, self.durable = kind, folders, names, inode, False

    def apply(self, entries):
        first = entries.setdefault(self.folders[0], {})
        if self.kind == "enter":
            first[self.names[0]] = self.inode
        elif self.kind == "leave":
            first.pop(self.names[0], None)
        else:
            if first.get(self.names[0]) is self.inode:
                del first[self.names[0]]
            entries.setdefault(self.folders[1], {})[self.names[1]] = self.inode


def read_record(path):
    """The records as lists of fields; the bytes of a write are its last."""
    text, records, at = pathlib.Path(path).read_bytes(), [], 0
    while at < len(text):
        end = text.index(b"\n", at)
        fields, at = text[at:end].decode().split("\t"), end + 1
        if fields[0] == "write":
            length = int(fields[3])
            fields.append(text[at:at + length])
            at += length
        records.append(fields)
    return records


class Disk:
    """A folder, all of which is durable when it is first looked at."""

    def __init__(self, folder):
        self.inodes, self.base, self.steps, self.mapped, self.faults = {}, {}, [], set(), []
        self.root = self.scan(pathlib.Path(folder))
        self.now = {inode: dict(names) for inode, names in self.base.items()}

    def scan(self, path):
        found = path.lstat()
        is_folder = path.is_dir()
        inode = Inode(is_folder, found.st_mode & 0o7777, b"" if is_folder else path.read_bytes())
        self.inodes[found.st_ino] = inode
        if is_folder:
            self.base[inode] = {entry.name: self.scan(entry) for entry in path.iterdir()}
        return inode

    def number(self, folder):
        """The model's files are those of `folder` from now on, which has just been written from the model."""
        self.inodes = {}

        def walk(inode, path):
            self.inodes[path.lstat().st_ino] = inode
            for name, below in self.now.get(inode, {}).items():
                walk(below, path / name)

        walk(self.root, pathlib.Path(folder))

    def step(self, *step):
        self.steps.append(Step(*step))
        self.steps[-1].apply(self.now)

    def apply(self, fields):
        """One record; what is wrong with it by itself, if anything."""
        kind, rest = fields[0], fields[1:]
        inode = lambda at: self.inodes[int(rest[at])]
        if kind in ("create", "mkdir"):
            new = self.inodes[int(rest[2])] = Inode(kind == "mkdir", int(rest[3], 8))
            if new.is_folder:
                self.base[new], self.now[new] = {}, {}
            self.step("enter", [inode(0)], [rest[1]], new)
        elif kind == "link":
            self.step("enter", [inode(0)], [rest[1]], inode(2))
        elif kind in ("unlink", "rmdir"):
            self.step("leave", [inode(0)], [rest[1]])
        elif kind == "rename":
            moved = self.now[inode(0)][rest[1]]
            unsynced = self.unsynced(moved, rest[3])
            self.step("rename", [inode(0), inode(2)], [rest[1], rest[3]], moved)
            if unsynced:
                return f"{unsynced} is renamed to its final name before it is synced (C01)"
        elif kind in ("write", "truncate"):
            change = (int(rest[1]), rest[3] if kind == "write" else None)
            inode(0).content = patched(inode(0).content, change)
            inode(0).pending.append(change)
        elif kind == "sync":
            if inode(0).is_folder:
                for step in self.steps:
                    step.durable |= inode(0) in step.folders
            for change in inode(0).pending:
                inode(0).kept = bytes(patched(inode(0).kept, change))
            inode(0).pending = []
        elif kind == "lost":
            # The kernel calls the pages clean: no later sync writes them (C04).
            inode(0).pending = []
        elif kind == "map":
            self.mapped.add(inode(0))
        elif kind == "fault":
            self.faults.append(" ".join(rest))
        return None

    def durable_names(self):
        entries = {inode: dict(names) for inode, names in self.base.items()}
        for step in self.steps:
            if step.durable:
                step.apply(entries)
        return entries

    def unsynced(self, top, name):
        """The first file or name at or below `top` that a power cut would take; none if all is kept."""
        durable = self.durable_names()

        def walk(inode, path):
            if not inode.is_folder and bytes(inode.content) != inode.kept:
                return path
            for name, below in self.now.get(inode, {}).items():
                if name.endswith(VOLATILE):
                    continue
                if durable[inode].get(name) is not below:
                    return f"{path}/{name}"
                found = walk(below, f"{path}/{name}")
                if found:
                    return found
            return None

        return walk(top, name)

    def mapped_names(self):
        """Names of files that are written through maps, which the record does not show."""
        return [name for names in self.now.values() for name, inode in names.items() if inode in self.mapped]

    def tree(self, names, bytes_of):
        """What a disk with these names and bytes holds: path to (mode, bytes, or None for a folder)."""
        found = {}

        def walk(inode, path):
            found[path] = (inode.mode, None if inode.is_folder else bytes_of(inode))
            for name, below in names.get(inode, {}).items():
                walk(below, f"{path}/{name}" if path else name)

        walk(self.root, "")
        return found

    def survivors(self, seed):
        """What may be found after a power cut now: (how, tree), the strictest first."""
        durable = self.durable_names()
        yield "nothing that was not synced", self.tree(durable, lambda inode: inode.kept)
        yield "names without bytes", self.tree(self.now, lambda inode: inode.kept)
        yield "bytes without names", self.tree(durable, lambda inode: bytes(inode.content))
        choose = random.Random(seed)
        # As a journal keeps them: in their order, up to some moment.
        open_steps = [step for step in self.steps if not step.durable]
        names = {inode: dict(entries) for inode, entries in self.base.items()}
        last = choose.randint(0, len(open_steps))
        kept = set(map(id, open_steps[:last]))
        for step in self.steps:
            if step.durable or id(step) in kept:
                step.apply(names)
        torn = {}

        def bytes_of(inode):
            if inode not in torn:
                content = inode.kept
                for place, written in inode.pending:
                    how = choose.random()
                    if how < 0.4:
                        content = patched(content, (place, written))
                    elif how < 0.7 and written:
                        # Sectors are written whole, in any order.
                        for at in range(0, len(written), 512):
                            if choose.random() < 0.5:
                                content = patched(content, (place + at, written[at:at + 512]))
                torn[inode] = bytes(content)
            return torn[inode]

        yield "some of what was not synced", self.tree(names, bytes_of)

    def as_is(self):
        """What the system shows now, as long as the power stays on."""
        return self.tree(self.now, lambda inode: bytes(inode.content))


def write_tree(tree, folder):
    """Makes `folder` hold exactly this."""
    for path, (mode, content) in sorted(tree.items()):
        place = os.path.join(folder, path) if path else folder
        if content is None:
            os.mkdir(place)
        else:
            with open(place, "wb") as file:
                file.write(content)
        os.chmod(place, mode)

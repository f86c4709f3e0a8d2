"""What a folder, a store and a home hold, looked at without sealift: whole, or `Between`."""

import contextlib
import hashlib
import json
import sqlite3


class Between(Exception):
    """A state that is neither old nor new, or an answer that is not the right one."""


def bytes_of(path):
    return path.read_bytes() if path.exists() else None


def folder_of(path):
    """Every file of a folder with its digest; nothing if it is not there."""
    if not path.exists():
        return None
    files = (file for file in path.rglob("*") if file.is_file())
    return tuple(sorted((str(file.relative_to(path)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files))


def blobs_of(home):
    """Digests of all stored content; every file is what its name says."""
    found = set()
    for file in (home / "blobs").glob("sha256/*/*"):
        if hashlib.sha256(file.read_bytes()).hexdigest() != file.name:
            raise Between(f"{file.name} holds other bytes: {file.stat().st_size} of them")
        found.add(f"sha256:{file.name}")
    return found


def ledger_of(rows):
    """The events of a ledger whose records hang together."""
    events, previous = [], "0" * 64
    for number, (line,) in enumerate(rows("SELECT line FROM ledger ORDER BY number"), 1):
        record = json.loads(line)
        if (record["number"], record["previous"]) != (number, previous):
            raise Between(f"the ledger breaks at record {number}: {line}")
        previous = hashlib.sha256(line.encode()).hexdigest()
        events.append(record["event"])
    return events


def trusted_in(home):
    """The trust documents that a site believes; each has its record in the ledger."""
    with contextlib.closing(sqlite3.connect(home / "sealift.db")) as connection:
        rows = lambda query: connection.execute(query).fetchall()
        if rows("PRAGMA integrity_check") != [("ok",)]:
            raise Between(f"the database is damaged: {rows('PRAGMA integrity_check')}")
        versions = tuple(row[0] for row in rows("SELECT version FROM trust ORDER BY version"))
        if ledger_of(rows).count("trust") != len(versions):
            raise Between(f"versions {versions}, and the ledger tells of {ledger_of(rows)}")
    return versions


def published_in(home):
    """What is published, and that all of it is there."""
    blobs, database = blobs_of(home), home / "sealift.db"
    if not database.exists():
        return None
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = lambda query: connection.execute(query).fetchall()
        if rows("PRAGMA integrity_check") != [("ok",)] or rows("PRAGMA foreign_key_check"):
            raise Between(f"the database is damaged: {rows('PRAGMA integrity_check')}")
        if rows("PRAGMA user_version") == [(0,)]:
            if rows("SELECT name FROM sqlite_schema"):
                raise Between("the schema is between")
            return None
        manifests = rows("SELECT repository, digest, size FROM manifests")
        for repository, digest, size in manifests:
            if digest not in blobs:
                raise Between(f"{repository}@{digest} is published and not there")
            content = (home / "blobs/sha256" / digest[7:9] / digest[7:]).read_bytes()
            document = json.loads(content)
            children = [child["digest"] for child in document.get("manifests", [])]
            needed = [blob["digest"] for blob in [document.get("config"), *document.get("layers", [])] if blob]
            known = {row[0] for row in rows(f"SELECT digest FROM manifests WHERE repository = '{repository}'")}
            listed = {row[0] for row in rows(f"SELECT digest FROM blobs WHERE repository = '{repository}'")}
            if len(content) != size or not known.issuperset(children) or not (listed & blobs).issuperset(needed):
                raise Between(f"{repository}@{digest} is published and not whole")
        tags = rows("SELECT repository, tag, digest FROM tags ORDER BY 1, 2")
        imports = rows("SELECT bundle FROM receipts")
        bundles = sorted({row[0] for row in imports})
        if ledger_of(rows).count("import") != len(imports):
            raise Between(f"{len(imports)} imports, and the ledger tells of {ledger_of(rows)}")
    return (tuple(tags), tuple(sorted(manifests)), tuple(bundles)) if bundles else None

"""Content hashes: the same content gives the same name on every machine and in every process."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys, no spaces, and no escapes for letters.

    Raises:
        TypeError: `value` holds something that JSON has no form for.
        ValueError: `value` holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of `value` in canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def file_hash(path: Path, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of a file, or of a folder's names and contents."""
    digest = hashlib.sha256()
    for file in _files(path):
        if file != path:
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:length]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    else:
        yield path


def seed_from(*parts: Any) -> int:
    """Return a seed in 0..2**63-1 that depends on every part, so that one run seed can reach everything.

    >>> seed_from(0, "shuffle", 3) == seed_from(0, "shuffle", 3) != seed_from(1, "shuffle", 3)
    True
    """
    return int(content_hash(list(parts)), 16) & (2**63 - 1)

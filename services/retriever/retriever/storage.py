"""Objects by name under a URL: a local folder, S3 or whatever else fsspec knows. Knows nothing of what is in them.

An object is there as a whole or not at all: S3 promises that, and a local file is written aside, synced and renamed. S3's credentials,
region and endpoint are those of the AWS SDK (a role, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec  # type: ignore[import-untyped]

from retriever.errors import Damaged, ObjectMissing, StorageAway

T = TypeVar("T")

PAUSES_S = (0.1, 0.4)
"""Before the second and third try of a call."""
OPTIONS: dict[str, dict[str, Any]] = {
    "file": {"auto_mkdir": True},
    # the SDK would try for minutes; how often is decided here
    "s3": {"config_kwargs": {"connect_timeout": 3, "read_timeout": 20, "retries": {"total_max_attempts": 1, "mode": "standard"}}},
}
ASIDE = ".part"
DIGEST = 64


@dataclass(frozen=True)
class Stored:
    """`modified` is in seconds since 1970, by the storage's clock."""

    name: str
    bytes: int
    modified: float


class Objects:
    """The objects under `url`. Every method raises StorageAway when the storage does not answer or refuses, after three tries."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        protocol = fsspec.core.split_protocol(url)[0] or "file"
        try:
            self._system, self._root = fsspec.core.url_to_fs(
                self.url, skip_instance_cache=True, use_listings_cache=False, **OPTIONS.get(protocol, {})
            )
        except (ImportError, ValueError, OSError) as error:
            raise StorageAway(f"{url!r} is no URL of object storage ({error}); give a folder or s3://bucket/prefix.") from error
        self._local = protocol in ("file", "local")
        if hasattr(self._system, "retries"):
            self._system.retries = 1  # s3fs's own, for the same reason

    def put(self, name: str, content: bytes) -> None:
        """Writes or overwrites."""
        if self._local:
            self._tried("write", name, partial(self._write_aside, name, lambda file: file.write(content)))
        else:
            self._tried("write", name, partial(self._system.pipe_file, self._path(name), content))

    def upload(self, path: Path, name: str) -> None:
        """Writes or overwrites with the content of a file."""
        if self._local:
            self._tried("write", name, partial(self._write_aside, name, partial(_copy, path)))
        else:
            self._tried("write", name, partial(self._system.put_file, str(path), self._path(name)))

    def get(self, name: str) -> bytes:
        """Raises ObjectMissing."""
        content: bytes = self._tried("read", name, partial(self._system.cat_file, self._path(name)))
        return content

    def download(self, name: str, path: Path) -> None:
        """Writes the object to a file. Raises ObjectMissing."""
        self._tried("read", name, partial(self._system.get_file, self._path(name), str(path)))

    def list(self, prefix: str) -> list[Stored]:
        """Every object whose name begins with the folder `prefix`, by name."""
        try:
            found = self._tried("list", prefix, partial(self._system.find, self._path(prefix), detail=True))
        except ObjectMissing:
            return []
        root = len(self._path(prefix)) - len(prefix)
        named = [Stored(path[root:], entry["size"] or 0, _modified(entry)) for path, entry in found.items()]
        return sorted((stored for stored in named if not stored.name.endswith(ASIDE)), key=lambda stored: stored.name)

    def delete(self, names: Iterable[str]) -> None:
        """One that is not there is deleted already."""
        for name in names:
            with suppress(ObjectMissing):
                self._tried("delete", name, partial(self._system.rm_file, self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _write_aside(self, name: str, write: Callable[[Any], object]) -> None:
        path = self._path(name)
        with self._system.open(path + ASIDE, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(path + ASIDE).replace(path)

    def _tried(self, doing: str, name: str, call: Callable[[], T]) -> T:
        for pause in (*PAUSES_S, None):
            try:
                return call()
            except FileNotFoundError:
                raise ObjectMissing(f"There is no object {name!r} under {self.url}.") from None
            except Exception as error:  # every implementation of fsspec has errors of its own, and not all are OSErrors
                if pause is None:
                    told = f"Could not {doing} {name!r} under {self.url} ({str(error) or type(error).__name__})"
                    raise StorageAway(f"{told}; check network, rights and space.") from error
            time.sleep(pause)
        raise AssertionError  # the last try returned or raised


def sealed(body: bytes) -> bytes:
    """`body` behind a line with its SHA-256."""
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unsealed(name: str, content: bytes) -> bytes:
    """What `sealed` was given. Raises Damaged, naming the object."""
    digest, body = content[:DIGEST], content[DIGEST + 1 :]
    if content[DIGEST : DIGEST + 1] != b"\n" or hashlib.sha256(body).hexdigest().encode() != digest:
        raise Damaged(f"{name} is damaged: its {len(content)} bytes have not the SHA-256 that its first line says.")
    return body


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(path: Path, to: Any) -> None:
    with path.open("rb") as file:
        while portion := file.read(2**20):
            to.write(portion)


def _modified(entry: dict[str, Any]) -> float:
    """Local folders tell `mtime`, S3 `LastModified`; storage that tells neither counts as new."""
    stamp = entry.get("mtime", entry.get("LastModified"))
    if isinstance(stamp, datetime):
        return stamp.timestamp()
    return float(stamp) if stamp is not None else time.time()

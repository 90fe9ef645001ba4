"""What can befall the folder of derived files: each way as a function. Knows nothing of what the retriever makes of it."""

import json
import random
from collections.abc import Callable
from pathlib import Path

MANIFEST = "manifest.json"


def flip_bits(path: Path, rng: random.Random, flips: int = 1) -> None:
    """Flips `flips` bits at random places; the size stays."""
    content = bytearray(path.read_bytes())
    for _ in range(flips):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    """Cuts the file anywhere, to nothing at the least."""
    with path.open("r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))


def derived(folder: Path) -> list[Path]:
    """The files besides the manifest, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)


def _one(harm: Callable[[Path, random.Random], None]) -> Callable[[Path, random.Random], str]:
    def befall(folder: Path, rng: random.Random) -> str:
        if not (files := [path for path in derived(folder) if path.stat().st_size]):
            return "nothing to damage"
        path = rng.choice(files)
        harm(path, rng)
        return path.name

    return befall


def _grow(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randrange(1, 100)))


def _swap(folder: Path, rng: random.Random) -> str:
    """Two files of one kind change places, as a careless restore does it."""
    suffix = rng.choice(("vectors", "index", "numbers", "versions", "shape"))
    files = [path for path in derived(folder) if path.suffix == f".{suffix}"]
    if len(files) < 2:
        return "nothing to swap"
    one, other = rng.sample(files, 2)
    aside = folder / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    return f"{one.name} and {other.name}"


def _stranger(folder: Path, rng: random.Random) -> str:
    """Left-overs of a kill, and a file that is nobody's."""
    name = rng.choice(
        (".1-5-9-abcdef.vectors.aside", "1-1-99-00ff00ff00ff.index", "manifest.json.part", "attributes-3-00.base", "note.txt")
    )
    (folder / name).write_bytes(rng.randbytes(100))
    return name


def _manifest_text(folder: Path, rng: random.Random) -> str:
    text = rng.choice(("", "{", "[]", "null", '{"format": 9}', '{"format": 1, "generation": 0, "segments": [{}]}', "\x00" * 64, '"a"'))
    (folder / MANIFEST).write_text(text)
    return repr(text)


def _manifest_lies(folder: Path, rng: random.Random) -> str:
    """Well-formed, and wrong in one value."""
    path = folder / MANIFEST
    if not path.exists():
        return "no manifest"
    said = json.loads(path.read_text())
    lines = said["segments"]
    if not lines:
        said["generation"] += 1_000_000
    else:
        line = rng.choice(lines)
        lies: tuple[Callable[[], object], ...] = (
            lambda: line.update(lo=line["lo"] + 1),
            lambda: line.update(lo=0),
            lambda: line.update(hi=line["hi"] + 1_000_000),
            lambda: line.update(hi=line["hi"] - 1),
            lambda: line.update(rows=line["rows"] + 1),
            lambda: line.update(rows=line["rows"] - 1),
            lambda: line.update(kind="ivf-sq8" if line["kind"] == "hnsw" else "hnsw"),
            lambda: line.update(kind="no such kind"),
            lambda: line.update(space=line["space"] + 1),
            lambda: line.update(space=99),
            lambda: line.update(name="../" + line["name"]),
            lambda: lines.remove(line),
            lambda: lines.append(dict(line)),
            lambda: said.update(generation=said["generation"] + 1_000_000),
            lambda: said.update(attributes={"generation": 0, "name": "attributes-0", "bytes": 1, "sha256": ""}),
            lambda: said.update(attributes=7),
        )
        rng.choice(lies)()
    path.write_text(json.dumps(said))
    return "manifest"


def _flip_manifest(folder: Path, rng: random.Random) -> str:
    if not (folder / MANIFEST).exists():
        return "no manifest"
    flip_bits(folder / MANIFEST, rng)
    return "manifest"


def _remove_manifest(folder: Path, rng: random.Random) -> str:
    (folder / MANIFEST).unlink(missing_ok=True)
    return "manifest"


def _remove_all(folder: Path, rng: random.Random) -> str:
    for path in [*derived(folder), folder / MANIFEST]:
        path.unlink(missing_ok=True)
    return "all files"


WAYS: dict[str, Callable[[Path, random.Random], str]] = {
    "bits flipped": _one(flip_bits),
    "truncated": _one(truncate),
    "missing": _one(lambda path, rng: path.unlink()),
    "grown": _one(_grow),
    "swapped": _swap,
    "foreign file": _stranger,
    "manifest is something else": _manifest_text,
    "manifest lies": _manifest_lies,
    "manifest missing": _remove_manifest,
    "manifest flipped": _flip_manifest,
    "empty folder": _remove_all,
}
"""Name of what befalls; each returns which file it was."""

"""Compiled artefacts: what they are keyed by, and the manifest that proves they are whole. Knows nothing of vLLM.

vLLM on Neuron takes whatever lies in the folder it is pointed to: it checks no configuration, and where files are missing it compiles for
half an hour instead of failing. So the folder is named by what went into it, and each of its files is checked before vLLM starts.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expander.runtimes.errors import ArtefactAbsent, ArtefactCorrupt, ArtefactMismatched, ModelAbsent, Refused
from expander.runtimes.options import Options, filled, values
from expander.runtimes.profile import Profile

MANIFEST = "warmstart-manifest.json"
KEY_LINES = (
    "warmstart-compiled/1",
    "profile={profile}",
    "model={model_name}",
    "revision={model_revision}",
    "tensor_parallel_size={tensor_parallel_size}",
    "max_num_seqs={max_num_seqs}",
    "max_model_len={max_model_len}",
    "buckets={buckets}",
    "dtype={dtype}",
    "target={compile_target}",
    "flags={flags}",
    "image={image}",
)
"""The key is the SHA-256, in hexadecimal, of these lines with their placeholders replaced, joined by one newline, none at the end."""


def require_model(options: Options) -> None:
    """Raises `ModelAbsent` where the folder holds no model: vLLM would take the path for a name on a hub."""
    if not (Path(options.model_path) / "config.json").is_file():
        raise ModelAbsent(f"{options.model_path} holds no config.json. Put the model's files there; nothing is downloaded at start")


def inputs(profile: Profile, options: Options) -> str:
    """The text that is hashed; raises `Refused` when it would not identify the artefact."""
    if not profile.needs_compile:
        raise Refused(f"a key for {profile.name}", "nothing is compiled ahead on this profile", "Serve the model as it is")
    for name, value in (("model_revision", options.model_revision), ("image", options.image)):
        if not value:
            raise Refused(
                f"an empty {name}",
                "artefacts of different files or compilers would get the same key",
                f"Give --{name.replace('_', '-')}: a commit, a tag or a digest, or any word that you change with the files",
            )
    known = values(profile, options)
    return "\n".join(filled(line, known) for line in KEY_LINES)


def key(profile: Profile, options: Options) -> str:
    """Names the artefact of these inputs: 64 hexadecimal digits."""
    return hashlib.sha256(inputs(profile, options).encode()).hexdigest()


def expected_key(profile: Profile, options: Options, expected: str) -> str:
    """The key; raises `ArtefactMismatched` when whoever deployed this has computed another one."""
    identity = key(profile, options)
    if expected not in ("", identity):
        raise ArtefactMismatched(
            f"key {expected} was expected, these options give {identity}: chart and image disagree. Deploy the chart of the image's version"
        )
    return identity


def write_manifest(folder: Path, identity: str, hashed: str) -> dict[str, Any]:
    """Writes and returns the manifest of all files in `folder`; raises `ArtefactCorrupt` when there are none.

    Links become copies of what they lead to: outside this pod they might lead nowhere, or to what nobody has checked.
    """
    for link in [path for path in sorted(folder.rglob("*")) if path.is_symlink()]:
        _replace(link, folder)
    files = {name: {"bytes": path.stat().st_size, "sha256": _hash(path)} for name, path in _files(folder)}
    if not files:
        raise ArtefactCorrupt(f"nothing was written into {folder}")
    manifest = {"format": 1, "key": identity, "inputs": hashed.split("\n"), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def verify(folder: Path, identity: str, hashed: str, remedy: str) -> None:
    """Raises an `Artefact...` error with the remedy, unless `folder` is exactly what was compiled from these inputs."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ArtefactAbsent(f"{folder} holds no compiled artefact. {remedy}") from None
    except ValueError:
        raise ArtefactCorrupt(f"{folder / MANIFEST} is not JSON. {remedy}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ArtefactCorrupt(f"{folder / MANIFEST} lists no files. {remedy}")
    if manifest.get("key") != identity or manifest.get("inputs") != hashed.split("\n"):
        raise ArtefactMismatched(f"{folder} was compiled from other inputs: {_difference(manifest, hashed)}. {remedy}")
    if wrong := _wrong(folder, manifest["files"]):
        raise ArtefactCorrupt(f"{folder} is not what was compiled: {wrong}. {remedy}")


def _replace(link: Path, folder: Path) -> None:
    target = link.resolve()
    if not target.exists() or folder.resolve().is_relative_to(target):
        raise ArtefactCorrupt(f"{link} leads to {target}, which can not be copied")
    link.unlink()
    if target.is_dir():
        shutil.copytree(target, link)
    else:
        shutil.copy2(target, link)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            yield name, path


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _wrong(folder: Path, listed: dict[str, Any]) -> str:
    """What differs between the files there and the files listed; empty when nothing does."""
    if links := [path for path in sorted(folder.rglob("*")) if path.is_symlink()]:
        return f"{links[0].relative_to(folder)} is a link"
    there = dict(_files(folder))
    if missing := sorted(listed.keys() - there.keys()):
        return f"{missing[0]} is missing"
    if added := sorted(there.keys() - listed.keys()):
        return f"{added[0]} was added"
    for name, path in there.items():
        if {"bytes": path.stat().st_size, "sha256": _hash(path)} != listed[name]:
            return f"{name} was changed"
    return ""


def _difference(manifest: dict[str, Any], hashed: str) -> str:
    told = manifest.get("inputs")
    pairs = zip(told if isinstance(told, list) else [], hashed.split("\n"), strict=False)
    return next((f"{theirs} there, {ours} here" for theirs, ours in pairs if theirs != ours), "another key")

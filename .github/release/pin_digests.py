"""Writes the registry and the digests of a release into the chart's values.yaml. Knows nothing of how the images were made.

Usage: python3 pin_digests.py values.yaml REGISTRY IMAGE=sha256:... ...
Images that `image.digests` does not have, such as those for Neuron, are left out. Standard library only: a release runner has no more.
"""

import re
import sys
from pathlib import Path


class NotPinned(Exception):
    """The values file has no place for what is to be written, or a digest is none."""


def pin(values: str, registry: str, digests: dict[str, str]) -> str:
    """`values` with `image.registry` and every entry of `image.digests` filled in; all else, comments too, stays. Raises `NotPinned`."""
    if wrong := [image for image, digest in digests.items() if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)]:
        raise NotPinned(f"no digest: {', '.join(wrong)}")
    if (line := re.search(r"^  digests: \{(.*)\}$", values, re.MULTILINE)) is None:
        raise NotPinned("values.yaml has no line `  digests: {...}`")
    images = re.findall(r'(\w+): ""', line[1])
    if not images or (missing := [image for image in images if image not in digests]):
        raise NotPinned(f"not given: {', '.join(missing) if images else 'any image'}")
    filled = ", ".join(f'{image}: "{digests[image]}"' for image in images)
    values = values[: line.start()] + f"  digests: {{{filled}}}" + values[line.end() :]
    values, found = re.subn(r"^  registry: .*$", f"  registry: {registry}", values, count=1, flags=re.MULTILINE)
    if not found:
        raise NotPinned("values.yaml has no line `  registry: ...`")
    return values


def main() -> None:
    path, registry, *pairs = sys.argv[1:]
    digests = dict(pair.split("=", 1) for pair in pairs)
    Path(path).write_text(pin(Path(path).read_text(), registry, digests))


if __name__ == "__main__":
    main()

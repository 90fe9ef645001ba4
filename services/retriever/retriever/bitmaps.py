"""Moves sets of item numbers between numpy arrays, packed bits and roaring bitmaps without a Python step per number. Knows no attributes.

Reads and writes the portable serialisation of the Roaring Format Specification (github.com/RoaringBitmap/RoaringFormatSpec): containers of
2**16 numbers each, stored as ascending 16-bit values (at most 4,096 of them), as 8 KiB of bits, or as runs.
"""

from array import array

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from retriever.items import Bools, Rows

Bits = NDArray[np.uint8]
"""Packed bits, the lowest first: number i is bit i % 8 of byte i // 8."""
Numbers = NDArray[np.uint32]

SPAN = 65_536
"""Numbers of one container."""
PACKED = SPAN // 8
ARRAY_MOST = 4_096
EVERY_OTHER = np.uint8(0b0101_0101)
NO_RUNS, WITH_RUNS = 12_346, 12_347
OFFSETS_FROM = 4
"""With runs, the offsets of the containers are stored from this many containers on."""
SCATTER_FROM = 4_000
"""From this many numbers on, setting bits is faster than sorting, unless the numbers lie far apart."""


def of_ascending(numbers: Numbers) -> BitMap:
    """The bitmap of strictly ascending `numbers` `(n,)`."""
    return BitMap(array("I", np.ascontiguousarray(numbers, np.uint32).tobytes()), optimize=False)


def of_numbers(numbers: NDArray[np.integer]) -> BitMap:
    """The bitmap of `numbers` `(n,)`, 0 to 2**32 - 1, in any order."""
    if len(numbers) < SCATTER_FROM or (top := int(numbers.max()) + 1) > 64 * len(numbers):
        return BitMap(array("I", np.sort(numbers).astype(np.uint32).tobytes()), optimize=False)
    bools = np.zeros(top, np.bool_)
    bools[numbers] = True
    return of_bools(bools)


def of_chosen(numbers: Rows, chosen: Bools) -> BitMap:
    """The bitmap of those of the different `numbers` `(n,)`, in any order, that are `chosen` `(n,)`."""
    count = int(np.count_nonzero(chosen))
    if count < SCATTER_FROM or (top := int(numbers.max()) + 1) > 64 * count:
        return of_numbers(numbers[chosen])
    bools = np.zeros(top, np.bool_)
    bools[numbers] = chosen
    return of_bools(bools)


def of_bools(bools: Bools) -> BitMap:
    """The bitmap of the places where `bools` `(n,)` is true."""
    bits = np.packbits(bools, bitorder="little")
    packed = np.zeros(-(-len(bits) // PACKED) * PACKED, np.uint8)
    packed[: len(bits)] = bits
    return _of_containers(packed.reshape(-1, PACKED))


def _of_containers(packed: NDArray[np.uint8]) -> BitMap:
    """The bitmap of the bits `(containers, 8192)`.

    What is stored as bits must hold more than 4,096 numbers. So a container with fewer is stored with every other number flipped, and
    flipped back by the bitmap itself, which makes the short list faster than numpy.
    """
    keys = np.flatnonzero(packed.any(axis=1))
    if not len(keys):
        return BitMap()
    packed = packed[keys]
    counts = _counts(packed)
    few = counts <= ARRAY_MOST
    if not few.any():
        return _deserialised(keys, counts, packed)
    packed[few] ^= EVERY_OTHER
    flipped = np.full((int(few.sum()), PACKED), EVERY_OTHER, np.uint8)
    return _deserialised(keys, _counts(packed), packed) ^ _deserialised(keys[few], _counts(flipped), flipped)


def _counts(packed: NDArray[np.uint8]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.bitwise_count(packed.view(np.uint64)).sum(axis=1, dtype=np.int64)
    return counts


def _deserialised(keys: NDArray[np.int64], counts: NDArray[np.int64], packed: NDArray[np.uint8]) -> BitMap:
    header = np.stack((keys, counts - 1), axis=1).astype("<u2")
    offsets = 8 + 8 * len(keys) + PACKED * np.arange(len(keys))
    front = np.array([NO_RUNS, len(keys)], "<u4").tobytes() + header.tobytes() + offsets.astype("<u4").tobytes()
    return BitMap.deserialize(front + packed.tobytes())


def rows_of(bitmap: BitMap) -> Rows:
    """The numbers in `bitmap`, ascending."""
    return np.frombuffer(bitmap.to_array(), np.uint32).astype(np.int64)


def bits_of(bitmap: BitMap) -> Bits:
    """The packed bits of `bitmap`, up to the end of the container with the largest number; empty for none."""
    if not bitmap:
        return np.zeros(0, np.uint8)
    data = bitmap.serialize()
    keys, counts, runs, at = _directory(data)
    packed = np.zeros((int(keys[-1]) + 1, PACKED), np.uint8)
    sparse: list[NDArray[np.int64]] = []
    sparse_keys: list[int] = []
    for key, count, has_runs in zip(keys.tolist(), counts.tolist(), runs.tolist(), strict=True):
        if has_runs:
            n = int.from_bytes(data[at : at + 2], "little")
            packed[key] = _of_runs(np.frombuffer(data, "<u2", 2 * n, at + 2).reshape(n, 2).astype(np.int64))
            at += 2 + 4 * n
        elif count > ARRAY_MOST:
            packed[key] = np.frombuffer(data, np.uint8, PACKED, at)
            at += PACKED
        else:
            sparse.append(np.frombuffer(data, "<u2", count, at).astype(np.int64) + len(sparse) * SPAN)
            sparse_keys.append(key)
            at += 2 * count
    if sparse:
        bools = np.zeros(len(sparse) * SPAN, np.bool_)
        bools[np.concatenate(sparse)] = True
        packed[sparse_keys] = np.packbits(bools, bitorder="little").reshape(-1, PACKED)
    return packed.reshape(-1)


def _directory(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64], Bools, int]:
    """Keys, cardinalities and whether runs of all containers, and where the first one starts."""
    cookie = int.from_bytes(data[:4], "little")
    if cookie & 0xFFFF == WITH_RUNS:
        n, at = (cookie >> 16) + 1, 4
        flags = -(-n // 8)
        runs = np.unpackbits(np.frombuffer(data, np.uint8, flags, at), bitorder="little")[:n].astype(np.bool_)
        at += flags
        start = at + 4 * n + (4 * n if n >= OFFSETS_FROM else 0)
    else:
        n, at = int.from_bytes(data[4:8], "little"), 8
        runs, start = np.zeros(n, np.bool_), at + 8 * n
    header = np.frombuffer(data, "<u2", 2 * n, at).reshape(n, 2).astype(np.int64)
    return header[:, 0], header[:, 1] + 1, runs, start


def _of_runs(runs: NDArray[np.int64]) -> Bits:
    """The bits of runs `(n, 2)` of first value and length - 1."""
    if len(runs) == 1 and runs[0, 0] == 0 and runs[0, 1] == SPAN - 1:
        return np.full(PACKED, 255, np.uint8)
    edges = np.empty(2 * len(runs) + 1, np.int64)
    edges[:-1:2], edges[1::2], edges[-1] = runs[:, 0], runs[:, 0] + runs[:, 1] + 1, SPAN
    bools = np.repeat(np.arange(len(edges)) % 2 == 1, np.diff(edges, prepend=0))
    return np.packbits(bools, bitorder="little")

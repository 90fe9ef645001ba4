"""Parts are whole or not there, belong to one origin, and are written by one run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.embed import output
from pipelines.embed.faults import InputUnusable, ResumeRefused
from pipelines.embed.parts import Origin, Parts

ORIGIN = Origin("ab" * 32, "id", ("title", "text"), False, 5, "model-1", 3)
EYE = np.eye(3, dtype=np.float32)


def two_parts(folder: Path) -> None:
    with Parts(folder, ORIGIN) as parts:
        parts.add(["a", "bb", "ccc"], EYE)
        parts.add(["dddd", "ö"], EYE[:2])


def test_parts_are_there_for_the_next_run(tmp_path: Path) -> None:
    two_parts(tmp_path / "parts")
    with Parts(tmp_path / "parts", ORIGIN) as parts:
        assert parts.rows == 5
        read = list(parts)
    assert [ids.tolist() for ids, _ in read] == [["a", "bb", "ccc"], ["dddd", "ö"]]
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in read]), EYE[[0, 1, 2, 0, 1]])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (replace(ORIGIN, fingerprint="model-2"), "fingerprint 'model-1' -> 'model-2'"),
        (replace(ORIGIN, input_sha256="cd" * 32), "input_sha256 'abab"),
        (replace(ORIGIN, text_fields=("title",)), "text_fields"),
        (replace(ORIGIN, skip_unusable=True, rows=4), "skip_unusable False -> True, rows 5 -> 4"),
    ],
)
def test_parts_of_something_else_are_refused_and_stay(tmp_path: Path, changed: Origin, told: str) -> None:
    two_parts(tmp_path / "parts")
    with pytest.raises(ResumeRefused, match=told), Parts(tmp_path / "parts", changed):
        pass
    with Parts(tmp_path / "parts", ORIGIN) as parts:
        assert parts.rows == 5


def test_a_part_that_the_manifest_does_not_name_is_written_again(tmp_path: Path) -> None:
    two_parts(tmp_path / "parts")
    (tmp_path / "parts" / "part-000002.npz").write_bytes(b"killed before the manifest")
    (tmp_path / "parts" / "part-000003.npz.aside").write_bytes(b"killed in the midst")
    with Parts(tmp_path / "parts", ORIGIN) as parts:
        parts.add(["e"], EYE[2:])
        assert [ids.tolist() for ids, _ in parts][2:] == [["e"]]


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest"])
def test_damaged_parts_are_refused_with_the_remedy(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "parts"
    two_parts(folder)
    part, manifest = folder / "part-000001.npz", folder / "manifest.json"
    match damage:
        case "cut":
            part.write_bytes(part.read_bytes()[:-1])
        case "gone":
            part.unlink()
        case _:
            manifest.write_text(manifest.read_text()[:-20])
    with pytest.raises(ResumeRefused, match=r"delete .*parts to begin anew"), Parts(folder, ORIGIN):
        pass


def test_two_runs_can_not_write_the_same_parts(tmp_path: Path) -> None:
    with Parts(tmp_path / "parts", ORIGIN), pytest.raises(ResumeRefused, match="Another run"), Parts(tmp_path / "parts", ORIGIN):
        pass
    with Parts(tmp_path / "parts", ORIGIN) as parts:
        assert parts.rows == 0


@pytest.mark.parametrize("name", ["out.npz", "out.parquet"])
def test_the_output_holds_all_rows_in_order_and_their_origin(tmp_path: Path, name: str) -> None:
    two_parts(tmp_path / "parts")
    out = tmp_path / "made" / name
    with Parts(tmp_path / "parts", ORIGIN) as parts:
        output.join(parts, out)
    ids, rows = read(out)
    assert ids == ["a", "bb", "ccc", "dddd", "ö"]
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, EYE[[0, 1, 2, 0, 1]])
    assert output.origin_of(out) == ORIGIN
    assert [path.name for path in out.parent.iterdir()] == [name]


def read(path: Path) -> tuple[list[str], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as held:
            return held["ids"].tolist(), held["embeddings"]
    import pyarrow.parquet as parquet

    table = parquet.read_table(path).combine_chunks()
    column = table["embedding"].combine_chunks()
    return table["id"].to_pylist(), column.flatten().to_numpy().reshape(len(table), -1)


@pytest.mark.parametrize("name", ["out.npz", "out.parquet"])
def test_a_file_that_somebody_else_wrote_is_not_taken_for_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not ours")
    with pytest.raises(ResumeRefused, match="was not written by this job"):
        output.origin_of(tmp_path / name)
    np.savez(tmp_path / "other.npz", ids=np.array(["a"]))
    with pytest.raises(ResumeRefused, match="was not written by this job"):
        output.origin_of(tmp_path / "other.npz")


def test_an_output_of_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputUnusable, match=r"neither \.npz nor \.parquet"):
        output.check(tmp_path / "out.csv")


def test_the_manifest_tells_fingerprint_input_and_rows(tmp_path: Path) -> None:
    two_parts(tmp_path / "parts")
    told = json.loads((tmp_path / "parts" / "manifest.json").read_text())
    assert (told["rows"], told["origin"]["fingerprint"], told["origin"]["input_sha256"]) == (5, "model-1", "ab" * 32)

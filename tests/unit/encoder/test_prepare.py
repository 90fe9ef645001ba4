"""`python -m encoder prepare` publishes an artefact or ends with one line that says why not."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from encoder import gate, prepare
from encoder.artefact import open_artefact


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    prepare.main(arguments)
    return capsys.readouterr().out.strip()


@pytest.fixture
def sample(tmp_path: Path, tiny: ModuleType) -> Path:
    drawn = np.random.default_rng(4)
    file = tmp_path / "sample.txt"
    file.write_text("\n".join(" ".join(drawn.choice(tiny.WORDS, 6)) for _ in range(gate.LEAST_LINES)))
    return file


def test_the_fingerprint_of_the_artefact_is_printed(t5: Path, tmp_path: Path, sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = ran(capsys, str(t5), "--out", str(tmp_path / "out"), "--precision", "fp32", "--sample", str(sample))
    assert open_artefact(tmp_path / "out").identity.fingerprint == printed
    assert printed.startswith("tiny-t5/fp32/mean/l2/24/256/")


def test_prefix_and_limit_are_taken(t5: Path, tmp_path: Path, sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--precision", "fp32", "--prefix", "passage: ", "--max-tokens", "17", "--sample", str(sample))
    ran(capsys, str(t5), "--out", str(tmp_path / "out"), *options)
    identity = open_artefact(tmp_path / "out").identity
    assert (identity.prefix, identity.max_tokens) == ("passage: ", 17)


def test_a_model_that_is_not_there_ends_the_command_with_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "encoder", "prepare", "/no/such/model", "--out", str(tmp_path / "out")], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "encoder prepare: FileMissing: The model folder /no/such/model is not there; set ENCODER_MODEL to `minilm` or to a folder that is."
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"), [(b"one line", r"has 1 passages; give at least"), (b"\xff\xfe", "can not be read"), (None, "can not be read")]
)
def test_a_sample_that_is_none_is_refused(content: bytes | None, message: str, t5: Path, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit, match=rf"lines\.txt {message}"):
        prepare.main((str(t5), "--out", str(tmp_path / "out"), "--sample", str(file)))


def test_a_hub_id_without_the_hubs_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SystemExit, match=r"no folder someone/some-model.*pip install huggingface_hub"):
        prepare.main(("someone/some-model", "--out", str(tmp_path / "out")))


def test_a_hub_id_is_fetched_by_the_hubs_package(
    t5: Path, tmp_path: Path, sample: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is a stand-in with a hub of one model; it takes what the real one takes."""
    import shutil
    from types import SimpleNamespace

    def snapshot_download(repo_id: str, *, local_dir: Path, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        if repo_id != "someone/tiny":
            raise ConnectionError("no such\nmodel")
        assert "onnx/*" in ignore_patterns
        return str(
            shutil.copytree(t5, local_dir, ignore=lambda _, names: [n for n in names if not any(Path(n).match(p) for p in allow_patterns)])
        )

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=snapshot_download))
    options = ("--precision", "fp32", "--sample", str(sample))
    assert ran(capsys, "someone/tiny", "--out", str(tmp_path / "out"), *options).startswith("tiny/fp32/")
    with pytest.raises(SystemExit, match=r"someone/other is no folder here and can not be fetched from the hub \(no such model\)"):
        prepare.main(("someone/other", "--out", str(tmp_path / "other")))

"""Every user's recalls, kept and held against those of another measurement."""

import argparse
from pathlib import Path

import pytest

from pipelines.evaluate import recalls
from pipelines.evaluate.chosen import LADDER, REPORT, Chosen, EvaluateRefused, add_options
from pipelines.evaluate.report import Section

TARGETS = [frozenset({"a", "b"}), frozenset({"c"}), frozenset({"d", "a"})]


def _section(*rankings: list[str], title: str = "1 seed") -> Section:
    section = Section(title, "")
    section.add("popularity", [["a"]] * len(rankings), TARGETS[: len(rankings)], 4)
    section.add("ours", rankings, TARGETS[: len(rankings)], 4)
    return section


def _chosen(*options: str) -> Chosen:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return Chosen.of(parser.parse_args(options))


def test_what_was_kept_is_read_again_user_by_user(tmp_path: Path) -> None:
    written = recalls.write([_section(["a"], ["c"], ["x"])], tmp_path)
    assert recalls.read(tmp_path) == written
    assert written["1 seed"]["ours"] == [0.5, 1.0, 0.0]


def test_a_comparison_tells_which_share_is_kept_and_leaves_out_what_no_encoder_changes(tmp_path: Path) -> None:
    theirs = recalls.write([_section(["a", "b"], ["c"], ["d", "a"])], tmp_path)
    ours = recalls.write([_section(["a"], ["c"], ["x"])], tmp_path)
    lines = recalls.comparison(ours, theirs)
    assert len(lines) == 3
    assert lines[2].startswith("| 1 seed | ours | 0.5000 | 1.0000 | 0.500 (")
    assert recalls.comparison(theirs, theirs) == lines[:2]


def test_measurements_of_other_users_are_not_compared(tmp_path: Path) -> None:
    theirs = recalls.write([_section(["a"], ["c"])], tmp_path)
    with pytest.raises(EvaluateRefused, match="3 users against 2"):
        recalls.comparison(recalls.write([_section(["a"], ["c"], ["d"])], tmp_path), theirs)


def test_a_folder_without_recalls_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EvaluateRefused, match=r"recalls\.json is not there"):
        recalls.read(tmp_path)


def test_without_options_the_repository_is_written_with_the_default_encoder() -> None:
    chosen = _chosen()
    assert (chosen.ladder, chosen.report, chosen.settings()) == (LADDER, REPORT, {})


def test_another_encoders_results_go_into_a_folder_and_its_gateway_reads_the_ladder_there(tmp_path: Path) -> None:
    chosen = _chosen("--out", str(tmp_path), "--encoder-model", str(tmp_path / "model"))
    assert chosen.ladder.parent == chosen.report.parent == tmp_path
    assert chosen.settings() == {"ENCODER_MODEL": str(tmp_path / "model"), "GATEWAY_LADDER_PATH": str(tmp_path / "ladder.json")}


@pytest.mark.parametrize("option", ["--encoder-model", "--against"])
def test_another_encoders_results_never_go_into_the_repository(option: str) -> None:
    with pytest.raises(EvaluateRefused, match="need --out"):
        _chosen(option, "somewhere")

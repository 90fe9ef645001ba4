"""One process per state folder."""

import os
from pathlib import Path

import pytest

from retriever.claim import held
from retriever.errors import FolderTaken


def test_a_folder_that_is_held_is_refused_with_the_holder_and_the_remedy(tmp_path: Path) -> None:
    with held(tmp_path):
        with pytest.raises(FolderTaken, match=f"process {os.getpid()}.*RETRIEVER_STATE_DIR"), held(tmp_path):
            pass
        with pytest.raises(FolderTaken), held(tmp_path):  # the refusal took nothing away
            pass


def test_a_folder_is_free_again_after_and_a_file_left_behind_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999")
    for _ in range(2):
        with held(tmp_path):
            assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_folders_do_not_know_each_other(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with held(tmp_path / "one"), held(tmp_path / "two"):
        pass

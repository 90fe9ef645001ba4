"""`python -m encoder compile` says in one line what keeps it from compiling."""

from pathlib import Path

import pytest

from encoder.compiling import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "MODEL"),
        (("minilm", "--target", "trn1"), "--out"),
        (("minilm", "--out", "store"), "--target"),
        (("minilm", "--out", "store", "--target", "gpu"), "gpu"),
        (("minilm", "--out", "store", "--target", "trn1", "--rows", "1,x"), "--rows"),
        (("minilm", "--out", "store", "--target", "trn1", "--lengths", "0"), "--lengths"),
        (("minilm", "--out", "store", "--target", "trn1", "--precision", "fp16"), "fp16"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_without_the_neuron_sdk_it_ends_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"torch.* is not installed; compile in an image of the AWS Neuron SDK"):
        main(("minilm", "--out", str(tmp_path), "--target", "trn1"))
    assert list(tmp_path.iterdir()) == []

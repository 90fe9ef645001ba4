"""Settings come from the environment; a bad one is named with its value."""

import pytest

from servicekit.settings import ServiceSettings, load


class Settings(ServiceSettings, env_prefix="TESTED_"):
    """A service's settings."""


def test_the_environment_is_read_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTED_PORT", "1234")
    assert load(Settings).port == 1234


def test_a_bad_variable_ends_the_process_with_its_name_and_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESTED_PORT", "eighty")
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == 2
    assert "TESTED_PORT" in (told := capsys.readouterr().err)
    assert "'eighty'" in told


def test_settings_can_not_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTED_PORT", "1")
    with pytest.raises(ValueError, match="frozen"):
        load(Settings).port = 2  # type: ignore[misc]

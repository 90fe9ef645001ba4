"""The expander's settings."""

from typing import get_args

import pytest

from expander.runtimes.table import PROFILES
from expander.settings import Settings
from servicekit import settings


def test_there_are_at_most_twenty_and_each_says_what_it_is() -> None:
    assert len(Settings.model_fields) <= 20
    assert all(field.description and field.description.endswith(".") for field in Settings.model_fields.values())


def test_the_key_is_hidden_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPANDER_LLM_API_KEY", "sk-secret")
    chosen = settings.load(Settings)
    assert chosen.llm_api_key is not None
    assert "sk-secret" not in f"{chosen!r} {chosen.model_dump_json()}"


def test_a_url_without_scheme_is_refused_with_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXPANDER_LLM_URL", "localhost:8080/v1")
    with pytest.raises(SystemExit):
        settings.load(Settings)
    assert "EXPANDER_LLM_URL" in capsys.readouterr().err


def test_the_profiles_to_choose_from_are_those_of_the_table() -> None:
    assert get_args(Settings.model_fields["llm_profile"].annotation) == tuple(PROFILES)
    assert Settings().llm_profile == "external"

"""What the documents promise about the code is true of the code."""

import importlib
import re
from pathlib import Path

import pytest

from contracts.items import Item
from servicekit.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
SERVICES = ("encoder", "expander", "retriever", "gateway")
RECURRING = {"__init__", "__main__", "app", "api", "settings", "errors", "metrics"}


def readme(service: str) -> str:
    return (ROOT / "services" / service / service / "README.md").read_text()


def test_every_path_of_the_change_table_exists() -> None:
    table = (ROOT / "README.md").read_text().split("I want to change", 1)[1].split("\n## ", 1)[0]
    paths = [path for row in table.splitlines() if row.startswith("|") for path in re.findall(r"`([\w./-]+/[\w./-]*)`", row)]
    assert len(paths) >= 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_files_of_the_encoder_in_the_map_exist_and_none_of_its_parts_is_left_out() -> None:
    section = (ROOT / "docs" / "architecture.md").read_text().split("## How the encoder embeds", 1)[1].split("\n## ", 1)[0]
    named, package = set(re.findall(r"`((?:backends/)?\w+\.py)`", section)), ROOT / "services" / "encoder" / "encoder"
    assert [path for path in named if not (package / path).exists()] == []
    assert {path.name for path in package.glob("*.py")} - {f"{name}.py" for name in RECURRING} - named == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_recurring_files(service: str) -> None:
    package = ROOT / "services" / service / service
    assert RECURRING - {path.stem for path in package.glob("*.py")} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_documented_and_there_are_few(service: str) -> None:
    settings: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    prefix = settings.model_config["env_prefix"]
    assert prefix == f"{service.upper()}_"
    assert len(settings.model_fields) <= 20
    assert [name for name, field in settings.model_fields.items() if not field.description] == []
    assert [name for name in settings.model_fields if f"`{prefix}{name.upper()}`" not in readme(service)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_documented(service: str) -> None:
    routes = importlib.import_module(f"{service}.api").ROUTES
    assert routes
    assert [route.path for route in routes if f"{route.method} {route.path}" not in readme(service)] == []


def test_no_file_names_have_words_that_say_nothing() -> None:
    empty_words = {"utils", "util", "helpers", "common", "misc", "base", "core", "manager"}
    named = [path for part in ("services", "pipelines", "tests") for path in (ROOT / part).rglob("*.py") if path.stem in empty_words]
    assert named == []


def test_the_make_targets_are_few_and_each_has_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    targets = phony.group(1).split()
    assert len(targets) <= 15
    assert [target for target in targets if not re.search(rf"^{target}:.* ## .+", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("lock", ["default.txt", "alone.txt"])
def test_the_default_lock_is_hashed_and_has_no_accelerator_stack_and_no_host(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    pinned = re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE)
    assert pinned
    assert text.count("--hash=sha256:") >= len(pinned)
    assert [name for name in pinned if name.startswith(("torch", "nvidia", "triton", "vllm", "transformers"))] == []
    assert not re.search(r"https?://", text)


def test_an_item_of_the_sample_is_an_item_of_the_contract() -> None:
    from pipelines import sample

    rows = list(sample.items())
    assert len({Item.model_validate(row).id for row in rows}) == len(rows) == sample.ITEM_COUNT

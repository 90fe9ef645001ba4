"""What is written about the chart is true of it: each key is read by a template, and each example in the documents renders."""

import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml
from tests.deploy.rendering import CHART, NAME, NAMESPACE, ROOT, Object, from_profile, merged, nested, render, values_of

GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
DEFAULTS: Object = yaml.safe_load((CHART / "values.yaml").read_text())


def leaves(values: Object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that is not itself a mapping with keys of its own."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def other(value: Any) -> Any:
    """Something of the same kind that is not `value`."""
    match value:
        case bool():
            return not value
        case int():
            return value + 7
        case str():
            return f"{value}9"
        case dict():
            return {"other": "1"}
        case _:
            return [{"name": "other"}]


@pytest.fixture(scope="module")
def unchecked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[helm.Chart]:
    """The chart without its schema, which would refuse values that are only meant to be different."""
    copied = shutil.copytree(CHART, tmp_path_factory.mktemp("unchecked") / "warmstart")
    (copied / "values.schema.json").unlink()
    with helm.Chart.load(copied) as chart:
        yield chart


def outcome(chart: helm.Chart, values: Object) -> object:
    """What is rendered, or why not."""
    try:
        return chart.render(values, name=NAME, namespace=NAMESPACE)
    except helm.HelmRenderError as refusal:
        return str(refusal)


def test_every_key_of_the_values_is_read_by_a_template(unchecked: helm.Chart) -> None:

    def scaling(autoscaling: Object) -> Object:
        own = {"autoscaling": autoscaling}
        return {"services": {**dict.fromkeys(("gateway", "encoder", "expander"), own), "retriever": {"readers": own}}}

    quiet = scaling({"enabled": False})
    scaled = scaling({"enabled": True, "metric": {"name": "m", "averageValue": "1"}})
    everything = values_of("everything")
    bases: tuple[Object, ...] = (
        merged(everything, scaled),
        merged(everything, quiet),
        {},
        values_of("external"),
        values_of("neuron"),
        {"milvus": {"existingSecret": "m"}, "redis": {"existingSecret": "r"}},
        merged(values_of("external"), {"redis": {"existingSecret": "r"}, "cronJobs": {"precompute": {"enabled": True}}}),
        merged(values_of("gpu"), {"priorityClass": {"create": False}}),
    )
    before = [outcome(unchecked, base) for base in bases]

    def is_read(key: str, default: Any) -> bool:
        for base, rendered in zip(bases, before, strict=True):
            present: Any = base
            for name in key.split("."):
                present = present.get(name, default) if isinstance(present, dict) else default
            if outcome(unchecked, merged(base, nested(key, other(present)))) != rendered:
                return True
        return False

    unread = [key for key, default in leaves(DEFAULTS) if not is_read(key, default)]
    assert unread == []


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_the_guide_renders(example: str) -> None:
    assert render(merged(from_profile("eks-trn1"), yaml.safe_load(example)))


def test_the_values_of_the_guide_are_all_that_a_first_install_sets() -> None:
    (mine,) = [example for example in EXAMPLES if "mine.yaml" in example]
    profile = yaml.safe_load((CHART / "profiles" / "eks-trn1.yaml").read_text())
    assert render(merged(profile, yaml.safe_load(mine)))
    assert len(list(leaves(yaml.safe_load(mine)))) <= 5


def test_every_key_that_the_guide_names_exists() -> None:
    named = {key for key in re.findall(r"`([a-z]\w*(?:\.\w+)+)\b", GUIDE) if key.split(".")[0] in DEFAULTS}
    assert len(named) >= 12
    for key in named:
        found: Any = DEFAULTS
        section, _, setting = key.partition(".settings.")
        for name in section.split("."):
            assert name in found, key
            found = found[name]
        assert not setting or setting in importlib.import_module(f"{section.split('.')[1]}.settings").Settings.model_fields, key


def test_every_object_that_the_guide_applies_is_one_that_kubernetes_takes() -> None:
    applied = [yaml.safe_load(text) for _, text in re.findall(r"apply -f - <<'(\w+)'\n(.*?)\n\1\n", GUIDE, re.DOTALL)]
    assert {one["kind"] for one in applied} == {"Pod"}
    for one in applied:
        kubernetes_validate.validate(one, "1.30", strict=True)


def test_every_page_that_the_guide_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", GUIDE)
    assert [link for link in links if not (Path(ROOT / "docs") / link).exists()] == []

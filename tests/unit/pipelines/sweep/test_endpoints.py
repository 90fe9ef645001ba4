"""Endpoints are read from options and TOML alike; what can not be measured is refused with its name and the remedy."""

from pathlib import Path

import pytest

from pipelines.plan.facts import FACTS
from pipelines.sweep.endpoints import endpoints
from pipelines.sweep.faults import SweepRefused

FULL = "url=http://h:8000/v1/,model=llama,tensor-parallel=8,instance=trn1.32xlarge,devices=4,core=NeuronCore"


def test_an_option_names_an_endpoint_with_what_it_holds_and_costs() -> None:
    (found,) = endpoints([FULL], None)
    assert (found.name, found.url, found.model, found.tensor_parallel) == ("llama TP 8", "http://h:8000/v1", "llama", 8)
    assert (found.cores, found.core) == (8, "NeuronCore")
    assert found.usd_per_hour == pytest.approx(FACTS["instances"]["trn1.32xlarge"]["usd_per_hour"] / 4)
    assert "4 of 16 devices of trn1.32xlarge" in found.price_source


def test_a_file_says_the_same_as_options(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.toml"
    file.write_text(
        '[[endpoint]]\nurl = "http://h:8000/v1"\nmodel = "llama"\ntensor_parallel = 8\ninstance = "trn1.32xlarge"\ndevices = 4\n'
        'core = "NeuronCore"\n[[endpoint]]\nurl = "http://g/v1"\nmodel = "llama"\ntensor_parallel = 2\nusd_per_hour = 1.5\n'
    )
    assert endpoints([], file)[:1] == endpoints([FULL], None)
    assert endpoints([], file)[1].usd_per_hour == 1.5


def test_a_share_of_an_instance_without_devices_is_one_of_its_processors() -> None:
    (found,) = endpoints(["url=http://h/v1,model=m,tensor_parallel=1,cores=2,instance=m7i.xlarge"], None)
    assert found.usd_per_hour == pytest.approx(FACTS["instances"]["m7i.xlarge"]["usd_per_hour"] / 2)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("http://h/v1", r"'http://h/v1' is not key=value.*An example: url="),
        ("url=http://h/v1,model=m", r"tensor_parallel is missing"),
        ("url=h:8000,model=m,tensor_parallel=1", r"url 'h:8000' is no http address with /v1"),
        ("url=http://h/v1,model=m,tensor_parallel=0", r"tensor_parallel '0' must be a number above 0"),
        ("url=http://h/v1,model=m,tensor_parallel=two", r"tensor_parallel 'two' must be a number"),
        ("url=http://h/v1,model=m,tensor_parallel=1.5", r"1.5 must be a whole number"),
        ("url=http://h/v1,model=m,tensor_parallel=1,price=3", r"'price' is unknown. Known: .*usd_per_hour"),
        ("url=http://h/v1,model=m,tensor_parallel=1,usd_per_hour=nan", r"usd_per_hour 'nan' must be a number above 0"),
        ("url=http://h/v1,model=m,tensor_parallel=1,instance=p9.large", r"'p9.large' is unknown. Known: .*trn1.32xlarge"),
        ("url=http://h/v1,model=m,tensor_parallel=1,instance=trn1.32xlarge", r"has 16 devices. Say by `devices`"),
        ("url=http://h/v1,model=m,tensor_parallel=64,instance=trn1.32xlarge,devices=32", r"holds 32 devices and trn1.32xlarge has 16"),
        ("url=http://h/v1,model=m,tensor_parallel=4,instance=trn2.48xlarge,devices=1", r"no price is known .* Give usd_per_hour"),
        ("url=http://h/v1,model=m,tensor_parallel=1,instance=m7i.xlarge,usd_per_hour=1", r"keep one of them"),
    ],
)
def test_an_unusable_option_is_refused(option: str, reason: str) -> None:
    with pytest.raises(SweepRefused, match=reason) as refused:
        endpoints([option], None)
    assert option in str(refused.value)


@pytest.mark.parametrize(
    ("text", "reason"), [("endpoint = 1", r"holds no \[\[endpoint\]\]"), ("[[endpoint", "can not be read"), ("", "holds no")]
)
def test_an_unusable_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(SweepRefused, match=reason):
        endpoints([], tmp_path / "e.toml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepRefused, match=r"absent.toml can not be read"):
        endpoints([], tmp_path / "absent.toml")


def test_two_endpoints_that_a_plot_could_not_tell_apart_are_refused() -> None:
    with pytest.raises(SweepRefused, match=r"both have model, core and tensor_parallel 'm, core, 1'.*core=H100"):
        endpoints(["url=http://a/v1,model=m,tensor_parallel=1,name=a", "url=http://b/v1,model=m,tensor_parallel=1,name=b"], None)
    assert (
        len(endpoints(["url=http://a/v1,model=m,tensor_parallel=1", "url=http://b/v1,model=m,tensor_parallel=1,name=b,core=H100"], None))
        == 2
    )

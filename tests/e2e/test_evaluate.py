"""The evaluation, on a few users of the suite's own sample: it asks the running services and writes what it found."""

from pathlib import Path

from pipelines import sample
from pipelines.evaluate import datasets, ladder, report
from pipelines.evaluate.run import BARE, OTHERS, OURS, Measurement
from pipelines.evaluate.served import Served
from pipelines.suite import Suite


def test_the_served_answers_are_measured_beside_baselines_and_a_shuffled_control(suite: Suite) -> None:
    data = datasets.split_of_sample(users=40)  # the suite was trained on these users too: their figures show that it runs, not how well
    with Served(suite) as served:
        measurement = Measurement(served, data, data.users, 0.75)
        sections = [measurement.seeds(0), measurement.seeds(3), measurement.interests(), measurement.interests_said()]
    figures = {row.name: row.recalls.mean() for row in sections[1].rows}
    assert figures[OURS] > figures["popularity"] > figures["random"]
    assert figures[OURS] > figures["shuffled control (another user's evidence)"]
    text = report.markdown(sections, {"Data": data.name}, {"steps": []}, OURS, "shuffled control (another user's evidence)")
    assert text.count(f"| **{OURS}** |") == 4
    assert text.count(f"{OURS} minus {BARE}") == text.count(f"{OURS} minus {OTHERS}") == 2


def test_weights_are_chosen_for_every_step_of_the_ladder(suite: Suite, tmp_path: Path) -> None:
    data = datasets.split_of_sample(users=40)
    with Served(suite) as served:
        chosen = ladder.build(served, {item["id"]: item for item in sample.items()}, data.users, {"data": data.name})
    places = [(step["touched"], step["interest"]) for step in chosen["steps"]]
    assert len(places) == len(set(places)) == 9
    assert all(step["weights"] for step in chosen["steps"])
    assert chosen["interest_weight"] in ladder.INTEREST_WEIGHTS
    assert len(ladder.write(chosen, tmp_path / "ladder.json")) == 16

"""Jobs of the index, restarts, and damage before a restart: none of them changes what is found. Knows nothing of writes."""

import numpy as np
from tests.chaos import damage, reading
from tests.chaos.trial import Trial

from retriever.builder import do
from retriever.segments.entry import SegmentDamaged


def begin_job(trial: Trial) -> None:
    """One more, if a lane is free and something is due in it."""
    if trial.rng.random() < 0.1 and (name := trial.draw.space()):
        trial.library.merge(name)
    if (job := trial.library.begin_job(poured=trial.rng.random() < 0.1)) is not None:
        trial.jobs.append(job)


def build(trial: Trial) -> None:
    if waiting := [job for job in trial.jobs if job not in trial.built]:
        job = trial.rng.choice(waiting)
        trial.built[job] = do(job.asked(trial.path, trial.library.store.folder, 1))


def end_job(trial: Trial) -> None:
    if not trial.jobs:
        return
    job = trial.jobs.pop(trial.rng.randrange(len(trial.jobs)))
    built = trial.built.pop(job, None)
    trial.did["a job that was done" if built else "a job that failed"] += 1
    trial.did["a job beside another"] += bool(trial.jobs)
    harmed = built and built["entry"] and trial.rng.random() < 0.1 and damage.WAYS["bits flipped"](trial.library.store.folder, trial.rng)
    try:
        trial.library.end_job(job, built)
    except SegmentDamaged:
        assert harmed
    if harmed:  # it may have been another file, which is found out about at the next start
        trial.reopen()


def all_jobs(trial: Trial) -> None:
    """All that is due, as it is on an idle machine."""
    for _ in range(20):
        begin_job(trial)
        for _ in trial.jobs:
            build(trial)
        if not trial.jobs:
            return
        while trial.jobs:
            end_job(trial)


def restart(trial: Trial) -> None:
    asked = reading.questions(trial)
    before = [reading.answered(trial, question) for question in asked]
    trial.reopen()
    for question, was in zip(asked, before, strict=True):
        now = reading.answered(trial, question)
        assert (now is None) == (was is None)
        if now and was:
            assert now.searched == was.searched
            old, new = (sorted(found.score for found in answer.found) for answer in (was, now))
            assert np.allclose(old, new, atol=1e-4), f"a restart changed an answer: {old} became {new}"
    reading.compare(trial)


def damaged_restart(trial: Trial) -> None:
    trial.library.close()
    way = trial.rng.choice(sorted(damage.WAYS))
    trial.damages[way] += 1
    damage.WAYS[way](trial.library.store.folder, trial.rng)
    trial.forget_jobs()
    trial.library = trial.opened()
    try:
        reading.compare(trial)
    except AssertionError as error:
        error.add_note(f"after this damage: {way}")
        raise

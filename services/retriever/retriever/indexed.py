"""Lets the index of a catalogue be built aside and puts it in place. Knows nothing of processes, threads, writes and questions.

What is due and what a job does stands in upkeep.py.
"""

from contextlib import suppress
from typing import Any

import numpy as np

from retriever.catalogue import Catalogue
from retriever.errors import StorageFailed
from retriever.items import Rows
from retriever.segments.store import SegmentStore
from retriever.upkeep import Job, Lane, Seal, begun, due
from retriever.view import View

CROWDED_ROWS = 131_072
"""Vectors in memory. Sealing keeps them at a third of that while an import has the machine to itself."""


class Indexed:
    """A catalogue and what was built of it. `view` is replaced as a whole."""

    view: View

    def __init__(self, catalogue: Catalogue, store: SegmentStore) -> None:
        self.catalogue, self.store = catalogue, store
        self.merging: set[int] = set()
        """Spaces that are to become one segment each; also in the catalogue, so that a restart goes on with it."""
        self.jobs: dict[Lane, Job] = {}
        """What is being built, one job in each lane."""
        self.poured = 0
        """Vectors written since the start."""
        self._killed: list[Rows] = []
        """Versions that have died since the first of the jobs was begun."""

    @property
    def crowded(self) -> bool:
        """See `backends.protocol.Backend.crowded`."""
        return any(sum(map(len, space.memories)) > CROWDED_ROWS for space in self.view.spaces.values())

    def due(self, *, poured: bool = False) -> list[Job]:
        """What is to be built and is not under way, the most pressing first; `poured` while many rows are coming in."""
        based = self.store.manifest.base is not None
        return list(due(self.view, self.merging, self.jobs.values(), based=based, poured=poured))

    def begin_job(self, *lanes: Lane, poured: bool = False) -> Job | None:
        """What is most due in the free ones of `lanes` (all, when none is named), begun; None when nothing is."""
        jobs = self.due(poured=poured)
        job = next((job for job in jobs if job.lane not in self.jobs and (not lanes or job.lane in lanes)), None)
        if job is not None:
            self.begin(job)
        elif not jobs and not self.jobs:
            self._merged(*self.merging)
        return job

    def begin(self, job: Job) -> None:
        """From now on what it shall seal takes no more vectors."""
        if not self.jobs:
            self._killed.clear()
        self.jobs[job.lane], self.view = job, begun(self.view, job)

    def end_job(self, job: Job, built: dict[str, Any] | None, opened: Any = None) -> None:
        """Puts what was built in its place; None when the building failed, and then all stays as it is.

        `opened` is what `job.opened` gave in another thread, so that no write waits while large files are hashed.
        """
        if self.jobs.get(job.lane) is not job:  # loaded anew meanwhile
            if built is not None:
                self.store.discard(job.files(built))
            return
        del self.jobs[job.lane]
        if built is not None:
            killed = np.concatenate([np.empty(0, np.int64), *self._killed])
            try:
                opened = opened or job.opened(self.store.folder, built)
                self.view = job.installed(self.view, self.store, built, opened, killed)
            finally:
                self.store.discard(job.files(built))
            if isinstance(job, Seal) and job.whole:
                self._merged(job.identity.space)

    def merge(self, name: str) -> None:
        """See `backends.protocol.Backend.merge`; the work is done by whoever runs the jobs."""
        space = self.view.named(name).identity.space
        self.merging.add(space)
        with suppress(StorageFailed):  # on a full disk only a restart forgets it
            self.catalogue.ask_merge(space)

    def _merged(self, *spaces: int) -> None:
        self.merging.difference_update(spaces)
        for space in spaces:
            with suppress(StorageFailed):  # asked for once more after the next start, it finds nothing to do
                self.catalogue.merged(space)

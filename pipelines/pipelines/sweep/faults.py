"""What can go wrong while endpoints are measured. Knows no exit status.

SweepFailed
├── SweepRefused      options or endpoints that can not be measured as they are; nothing was sent
├── EndpointUnusable  an endpoint, or one prompt length at it, can not be measured; the others are
├── ServerNotStarted  a server that the sweep was to start ended, or was not ready in time
├── JournalRefused    the journal of finished cells is damaged, or another run writes it
├── PlotsMissing      the plots were wanted and matplotlib is not installed
└── SweepIncomplete   the report is written and says what is missing from it
"""


class SweepFailed(Exception):
    """The root of the job's errors; the message says what to do."""


class SweepRefused(SweepFailed):
    """Options or endpoints that can not be measured as they are; nothing was sent."""


class EndpointUnusable(SweepFailed):
    """An endpoint, or one prompt length at it, can not be measured."""


class ServerNotStarted(EndpointUnusable):
    """A server that the sweep was to start ended, or was not ready in time."""


class JournalRefused(SweepFailed):
    """The journal of finished cells is damaged, or another run writes it."""


class PlotsMissing(SweepFailed):
    """The plots were wanted and matplotlib is not installed."""


class SweepIncomplete(SweepFailed):
    """The report is written and says what is missing from it."""

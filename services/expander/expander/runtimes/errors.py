"""What can go wrong before and while vLLM runs, each with an exit status of its own. Knows nothing of what causes it.

RuntimesError
├── Refused             64  options that are known not to work, with the reason and the remedy
├── ArtefactAbsent      65  nothing was compiled for these inputs
├── ArtefactMismatched  66  what lies there was compiled from other inputs
├── ArtefactCorrupt     67  files are missing, changed or added since they were compiled
├── StartFailed         68  vLLM ended before it was ready, each time, or was too late
├── CompileFailed       69  vLLM ended or was too late, so nothing was compiled
├── ModelAbsent         72  the model's folder is not there
├── CompileBusy         75  another process compiles the same artefact
├── ServerSilent        76  the served model could not be asked
└── DeviceHangs         77  the server lives and writes nothing
"""


class RuntimesError(Exception):
    """Carries a message for a person and the exit status for a program."""

    status = 70


class Refused(RuntimesError):
    """Names the value, why it can not work, and what to do instead."""

    status = 64

    def __init__(self, value: str, reason: str, remedy: str) -> None:
        super().__init__(f"{value} is refused: {reason}. {remedy}.")
        self.value, self.reason, self.remedy = value, reason, remedy


class ArtefactAbsent(RuntimesError):
    status = 65


class ArtefactMismatched(RuntimesError):
    status = 66


class ArtefactCorrupt(RuntimesError):
    status = 67


class StartFailed(RuntimesError):
    status = 68


class CompileFailed(RuntimesError):
    status = 69


class ModelAbsent(RuntimesError):
    status = 72


class CompileBusy(RuntimesError):
    status = 75


class ServerSilent(RuntimesError):
    status = 76


class DeviceHangs(RuntimesError):
    status = 77

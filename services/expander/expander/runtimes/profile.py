"""The shape of a runtime profile: what one image on one kind of hardware needs and can do. Knows no profile."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Room:
    """What a pod asks for: processors, memory, and nodes of these types (any node when empty)."""

    cpu: str
    memory: str
    instance_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """What one tensor-parallel size takes. `devices` counts chips or GPUs, `device_memory_gb` is that of all of them."""

    devices: int
    device_memory_gb: int
    serve: Room
    compile: Room
    shm: str
    scheduler_extension: bool = False
    """Whether the node's other devices may be in use, so that the Neuron scheduler extension must pick neighbouring ones."""


@dataclass(frozen=True)
class KnownBad:
    """A model that is reported not to work. `pattern` is a regular expression that Python and RE2 read alike."""

    pattern: str
    symptom: str
    source: str


@dataclass(frozen=True)
class Ami:
    """The machine image family. `pinned_alias` is a pattern to fill in: the date decides the driver, and is looked up at deploy."""

    family: str = ""
    pinned_alias: str = ""
    driver: str = ""


@dataclass(frozen=True)
class Image:
    """`run` is what the pod runs. Where it is built here: its name, what follows its tag, and the public image beneath it."""

    run: str = ""
    base_image: str = ""
    ours: str = ""
    tag_suffix: str = ""
    note: str = ""


@dataclass(frozen=True)
class Defaults:
    """Values of the placeholders that the caller leaves open."""

    tensor_parallel_size: int = 1
    max_model_len: int = 2048
    max_num_seqs: int = 8
    block_size: int = 32
    dtype: str = "bfloat16"
    prefix_caching: bool = True
    host: str = "0.0.0.0"  # noqa: S104 - in a pod; a Service and a NetworkPolicy stand before it
    port: int = 8000


@dataclass(frozen=True)
class Profile:
    """One row of the table.

    `structured_output`: `supported`, `ignored` (accepted and not obeyed), `none`, or `probed` (tried until it is refused).
    `environment` is set for vLLM always, `serve_environment` in addition when it serves; `{compiled_path}` stands for the folder of the
    compiled artefact. `context_multiple` is what `max_model_len` must be a multiple of, in tokens.
    """

    name: str
    image: Image = Image()
    ami: Ami = Ami()
    vllm: str = ""
    dialect: str = ""
    notes: tuple[str, ...] = ()
    has_pod: bool = True
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    serve_environment: tuple[tuple[str, str], ...] = ()
    unset: tuple[str, ...] = ()
    defaults: Defaults = Defaults()
    context_multiple: int = 1
    device_resource: str = ""
    shapes: dict[int, Shape] = field(default_factory=dict)
    taint_key: str = ""
    start_budget_s: int = 600
    start_attempts: int = 1
    structured_output: str = "none"
    request_field: str = ""
    prefix_caching_allowed: bool = True
    scale_to_zero_allowed: bool = True
    needs_compile: bool = False
    compile_target: str = ""
    compiled_copied: bool = False
    """Whether vLLM writes into the folder of the artefact, so that it is given a copy."""
    known_bad: tuple[KnownBad, ...] = ()
    calls_per_seq: int = 2
    """Requests that the expander has at the server for each that it works on at once (`max_num_seqs`): one at work and one in its queue,
    so that no place in a batch is empty while an answer travels, and the rest waits where it can be bounded."""
    calls_per_question: int = 2
    """Calls for one question at most: a second one after an unusable answer, where it can come out differently."""

    @property
    def concurrency(self) -> int:
        """Requests that the expander has at one server at once, unless a deployment says otherwise."""
        return self.calls_per_seq * self.defaults.max_num_seqs

    @property
    def sends_response_format(self) -> bool:
        """Whether asking by `response_format` helps: not where it is ignored, which would only hide that."""
        return self.request_field == "response_format"

    @property
    def flags(self) -> str:
        """Identifies what vLLM is told, so that an artefact compiled under other flags is not taken (16 hexadecimal digits)."""
        told = [*self.args, *(f"{name}={value}" for name, value in self.environment)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]

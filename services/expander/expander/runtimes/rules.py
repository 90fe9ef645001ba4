"""The combinations that are known not to work, each refused with its reason, source and remedy. Knows nothing of command lines."""

import re

from expander.runtimes.errors import Refused
from expander.runtimes.options import Options, values
from expander.runtimes.profile import KnownBad, Profile, Shape

BILLIONS = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
PINNED_AMI = re.compile(r"^[a-z0-9]+@v\d{8}$")
LARGE_BILLIONS = 8.0
BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}
UNSAFE = re.compile(r"[{}\x00-\x1f]|^\s|\s$")


def check(profile: Profile, options: Options, *, compiling: bool = False) -> Shape:
    """The shape of the chosen tensor-parallel size; raises `Refused`."""
    if not profile.has_pod:
        raise Refused(f"rendering {profile.name}", "someone else runs that server", "Give EXPANDER_LLM_URL its address")
    _check_text(options)
    shape = _check_tensor_parallel_size(profile, options)
    _check_lengths(profile, options)
    _check_model(profile, options, shape)
    _check_placement(profile, options, shape, compiling)
    _check_policy(profile, options)
    return shape


def known_bad(profile: Profile, options: Options) -> KnownBad | None:
    """The report that speaks against this model on this profile."""
    return next((bad for bad in profile.known_bad if re.search(bad.pattern, f"{options.name} {options.model_path}")), None)


def billions(options: Options) -> float | None:
    """Parameters of the model in billions: as told, else as its name says (`Llama-3.1-8B`), else unknown."""
    named = BILLIONS.findall(options.name)
    return options.model_billions or (float(named[-1]) if named else None)


def _check_text(options: Options) -> None:
    for name in ("model_path", "model_name", "model_revision", "served_name", "image", "dtype", "host"):
        value = getattr(options, name) or ""
        if UNSAFE.search(value):
            raise Refused(
                f"{name} {value!r}",
                "braces, control characters and outer white space would change the command line or the key",
                "Use a plain name",
            )
    if not options.model_path.startswith("/"):
        raise Refused(
            f"model path {options.model_path!r}",
            "a pod downloads nothing at start, and on Neuron a hub name with tied embeddings fails (NotImplementedError in shard on load)",
            "Put the model's folder on the artefacts volume and give its absolute path",
        )


def _check_tensor_parallel_size(profile: Profile, options: Options) -> Shape:
    size = int(values(profile, options)["tensor_parallel_size"])
    if size not in profile.shapes:
        legal = ", ".join(map(str, profile.shapes))
        reason = f"{profile.name} allows {legal}"
        if profile.taint_key == "aws.amazon.com/neuron":
            reason += "; chips are allocated by 1, 4, 8 or 16, and other sizes fail with KeyError LOCAL_WORLD_SIZE (aws-neuron-sdk #1214)"
        raise Refused(f"tensor parallel size {size}", reason, f"Choose one of {legal}")
    return profile.shapes[size]


def _check_lengths(profile: Profile, options: Options) -> None:
    known = values(profile, options)
    length, seqs = int(known["max_model_len"]), int(known["max_num_seqs"])
    if length < 1 or length % profile.context_multiple:
        raise Refused(
            f"max_model_len {length}",
            f"it must be a multiple of {profile.context_multiple}: compiled lengths are a quarter, half and all of it, in steps of 128",
            f"Use {max(1, round(length / profile.context_multiple)) * profile.context_multiple}",
        )
    if seqs < 1:
        raise Refused(f"max_num_seqs {seqs}", "at least one request is worked on at a time", "Use 1 or more")
    if known["dtype"] not in BYTES_PER_PARAMETER:
        raise Refused(f"dtype {known['dtype']}", f"known are {', '.join(BYTES_PER_PARAMETER)}", "Choose one of them")


def _check_model(profile: Profile, options: Options, shape: Shape) -> None:
    if bad := known_bad(profile, options):
        raise Refused(
            f"model {options.name} on {profile.name}",
            f"{bad.symptom} ({bad.source})",
            "TinyLlama-1.1B and Llama 3.1 8B are reported to work on trn1; or take another profile",
        )
    size = billions(options)
    weights_gb = (size or 0.0) * BYTES_PER_PARAMETER[values(profile, options)["dtype"]]
    if shape.device_memory_gb and weights_gb >= shape.device_memory_gb:
        raise Refused(
            f"model {options.name} at tensor parallel size {values(profile, options)['tensor_parallel_size']}",
            f"its weights alone are {weights_gb:.0f} GB and the {shape.devices} devices have {shape.device_memory_gb} GB",
            "Raise the tensor parallel size",
        )


def _check_placement(profile: Profile, options: Options, shape: Shape, compiling: bool) -> None:
    allowed, asked = shape.serve.instance_types, options.instance_type
    if not asked or not allowed:
        return
    if asked not in allowed:
        size = values(profile, options)["tensor_parallel_size"]
        raise Refused(
            f"instance type {asked}", f"{profile.name} at tensor parallel size {size} runs on {', '.join(allowed)}", "Choose one of them"
        )
    size_billions = billions(options)
    if compiling and asked not in shape.compile.instance_types and (size_billions is None or size_billions >= LARGE_BILLIONS):
        told = f"a model of {size_billions:g} billion parameters" if size_billions else "a model of unknown size"
        raise Refused(
            f"compiling {told} on {asked}",
            "the host's memory (29317Mi allocatable) does not suffice, the compiler is killed (aws-neuron-sdk #1222)",
            f"Compile on {' or '.join(shape.compile.instance_types)}, serve from the artefact; for a smaller model tell --model-billions",
        )


def _check_policy(profile: Profile, options: Options) -> None:
    if options.prefix_caching and not profile.prefix_caching_allowed:
        raise Refused(
            f"prefix caching on {profile.name}",
            "it does not compile (NCC_ITEN404, aws-neuron-sdk #1304), and the documents warn of wrong output at batch 1",
            "Leave it off",
        )
    if options.min_replicas < 1 and not profile.scale_to_zero_allowed:
        raise Refused(
            f"scaling {profile.name} to {options.min_replicas} replicas",
            "coming back from zero fails in nrt_allocate_neuron_cores (aws-neuron-sdk #1338)",
            "Keep at least 1",
        )
    if options.ami_alias and not PINNED_AMI.match(options.ami_alias):
        raise Refused(
            f"AMI alias {options.ami_alias}",
            f"an unpinned image rolls to a driver that the container's runtime can not use, and nrt_init fails ({profile.ami.driver})",
            f"Look up a release of {profile.ami.family or 'al2023'} with that driver and pin it, as in al2023@v and eight digits",
        )

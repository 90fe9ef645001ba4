"""The runtime profiles: one table for the expander, the chart, the compile job and the model server. Knows nothing of its readers.

Sources are named where a value is not obvious. "SDK" is the AWS Neuron SDK. Nothing of the Neuron rows was run on Neuron hardware.
"""

from expander.runtimes.profile import Ami, Defaults, Image, KnownBad, Profile, Room, Shape

VLLM_DLC = "public.ecr.aws/neuron/pytorch-inference-vllm-neuronx"
OURS = "vllm-neuron"
NEURON_AMI = "al2023@v<YYYYMMDD>"
NEURON_START_S = 1800

TRN1_SMALL, TRN1_LARGE = ("trn1.2xlarge",), ("trn1.32xlarge", "trn1n.32xlarge")
TRN1_SHAPES = {
    # Allocatable: trn1.2xlarge 7910m and 29317Mi, trn1.32xlarge 481894Mi (Karpenter's instance type tables). Devices come in 1, 4, 8, 16.
    # Compiling an 8B model is killed for memory on a trn1.2xlarge host (aws-neuron-sdk #1222), so a compile asks for a larger one.
    2: Shape(1, 32, Room("6", "24Gi", TRN1_SMALL + TRN1_LARGE), Room("28", "112Gi", TRN1_LARGE), "2Gi"),
    8: Shape(4, 128, Room("28", "112Gi", TRN1_LARGE), Room("28", "112Gi", TRN1_LARGE), "8Gi", scheduler_extension=True),
    16: Shape(8, 256, Room("56", "224Gi", TRN1_LARGE), Room("56", "224Gi", TRN1_LARGE), "16Gi", scheduler_extension=True),
    32: Shape(16, 512, Room("112", "448Gi", TRN1_LARGE), Room("112", "448Gi", TRN1_LARGE), "32Gi"),
}
TRN2 = ("trn2.48xlarge",)
TRN2_SHAPES = {
    # 16 chips of 96 GB, 4 logical cores each at LNC=2; 192 vCPU, 2 TiB. Karpenter counts 128 cores, the device plugin 64: ask for chips.
    4: Shape(1, 96, Room("10", "96Gi", TRN2), Room("10", "96Gi", TRN2), "8Gi"),
    16: Shape(4, 384, Room("40", "384Gi", TRN2), Room("40", "384Gi", TRN2), "16Gi", scheduler_extension=True),
    32: Shape(8, 768, Room("80", "768Gi", TRN2), Room("80", "768Gi", TRN2), "32Gi", scheduler_extension=True),
    64: Shape(16, 1536, Room("160", "1536Gi", TRN2), Room("160", "1536Gi", TRN2), "64Gi"),
}
GPU_SHAPES = {
    # A10G has 24 GB, L40S 48 GB; sized for the smaller. No instance type is asked for: the device resource picks the node.
    size: Shape(size, 24 * size, Room(cpu, memory), Room(cpu, memory), shm)
    for size, cpu, memory, shm in ((1, "3", "12Gi", "2Gi"), (2, "12", "48Gi", "4Gi"), (4, "24", "96Gi", "8Gi"), (8, "64", "256Gi", "16Gi"))
}
CPU_SHAPES = {1: Shape(0, 0, Room("2", "8Gi"), Room("2", "8Gi"), "1Gi")}

NEVER_SET = ("WORLD_SIZE", "LOCAL_WORLD_SIZE")  # tensor parallelism hangs on EKS when they are (aws-neuron-sdk #1163, #1167, #1214)

WRITABLE = "/tmp"  # noqa: S108 - the one folder that a pod with a read-only root file system can write to
OFFLINE = (("HF_HUB_OFFLINE", "1"), ("VLLM_NO_USAGE_STATS", "1"), ("HOME", WRITABLE), ("USER", "vllm"))

SERVE = (
    *("serve", "{model_path}", "--served-model-name", "{served_name}", "--host", "{host}", "--port", "{port}"),
    *("--tensor-parallel-size", "{tensor_parallel_size}", "--max-model-len", "{max_model_len}", "--max-num-seqs", "{max_num_seqs}"),
    *("--dtype", "{dtype}", "{prefix_caching}"),
)
# Contiguous KV: the number of blocks is the number of sequences, and must be the same when compiling and serving. Sampling on the device is
# greedy unless `dynamic`; `global_top_k` is strongly recommended (NxD Inference vLLM user guide V1).
NXDI_ARGS = (
    *SERVE,
    *("--block-size", "{block_size}", "--num-gpu-blocks-override", "{max_num_seqs}"),
    "--additional-config",
    '{"override_neuron_config": {"enable_bucketing": true, "context_encoding_buckets": [{buckets}],'
    ' "token_generation_buckets": [{buckets}], "async_mode": true,'
    ' "on_device_sampling_config": {"dynamic": true, "global_top_k": 256}}}',
)
# The largest bucket must equal --max-num-batched-tokens and --max-num-seqs (vLLM Neuron plugin, configuration options, SDK 2.32).
# Structured output works only with sampling on the device, and only when it is switched on: the opposite of the older plugin.
TRN2_ARGS = (
    *SERVE,
    *("--max-num-batched-tokens", "{max_model_len}", "--additional-config"),
    '{"neuron_config": {"num_batched_tokens_buckets": [{buckets}], "num_seqs_buckets": [{max_num_seqs}],'
    ' "enable_structured_outputs": true, "on_device_sampling_config": {"all_greedy": "true"}}}',
)
# Grammars allow any white space, and small models spend their tokens on it.
WITHOUT_SPACES = ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}')

NXDI_BAD = (
    KnownBad(r"(?i)llama-3\.2-1b", "it does not compile (NCC_ITEN404, rope type llama3)", "wg-serving #71; SDK 2.28 and 2.30 reports"),
    KnownBad(r"(?i)llama-3\.2-3b", "it does not compile (TEN404)", "aws-neuron-sdk #1120"),
    KnownBad(r"(?i)qwen2\.5-1\.5b", "it does not compile", "reports with SDK 2.28 and 2.30"),
    KnownBad(r"(?i)llama-3\.3-70b", "its context encoding does not compile (NCC_INLA001)", "vllm-neuron #16"),
)


def _ours(suffix: str, base_tag: str, note: str) -> Image:
    """Our wrapper over a container of the Neuron SDK; the suffix of its tag tells which."""
    return Image(f"<registry>/{OURS}:<tag>{suffix}", f"{VLLM_DLC}:{base_tag}", OURS, suffix, note)


def _nxdi(sdk: str, tag: str, vllm: str, driver: str, note: str) -> Profile:
    """A trn1 profile: the two differ only in what the SDK release decides."""
    return Profile(
        name=f"trn1-sdk{sdk}",
        image=_ours(f"-trn1-sdk{sdk}", tag, "its entrypoint is replaced; it runs as root"),
        ami=Ami("al2023", NEURON_AMI, driver),
        vllm=vllm,
        dialect="nxdi-plugin",
        notes=(
            note,
            "NxD Inference is in maintenance: trn1 is a frozen platform",
        ),
        args=NXDI_ARGS,
        environment=(
            *OFFLINE,
            ("NEURON_COMPILE_CACHE_URL", f"{WRITABLE}/neuron-compile-cache"),
            ("VLLM_NEURON_FRAMEWORK", "neuronx-distributed-inference"),
            ("NEURON_COMPILED_ARTIFACTS", "{compiled_path}"),
        ),
        unset=NEVER_SET,
        defaults=Defaults(tensor_parallel_size=2, prefix_caching=False),
        context_multiple=512,
        device_resource="aws.amazon.com/neuron",
        shapes=TRN1_SHAPES,
        taint_key="aws.amazon.com/neuron",
        start_budget_s=NEURON_START_S,
        start_attempts=3,
        structured_output="ignored",
        prefix_caching_allowed=False,
        scale_to_zero_allowed=False,
        needs_compile=True,
        compile_target="trn1",
        known_bad=NXDI_BAD,
    )


ROWS = (
    _nxdi(
        "2.28",
        "0.13.0-neuronx-py312-sdk2.28.0-ubuntu24.04",
        "0.13.0",
        "runtime library 2.30.51: fails on a driver of 2.29 or newer (SDK 2.31), so pin an AMI from before it",
        "the last release in which NxD Inference supports kernels on trn1 (SDK 2.29.0 release notes)",
    ),
    _nxdi(
        "2.31",
        "0.16.0-neuronx-py312-sdk2.31.1-ubuntu24.04",
        "0.16.0",
        "runtime library 2.33.10: goes with driver 2.29 (SDK 2.31)",
        "the container list names trn1, the release notes since 2.29 say Trn2 and newer only: prove it before relying on it",
    ),
    Profile(
        name="trn2",
        image=_ours("-trn2", "0.24.0.1.1.0-neuronx-py313-sdk2.32.0-ubuntu24.04", "trn2 and trn3 only"),
        ami=Ami("al2023", NEURON_AMI, "that of SDK 2.32"),
        vllm="0.24.0",
        dialect="neuron-plugin",
        notes=("the plugin is in beta", "ask for chips (`neuron`), never for cores: 128 and 64 are both reported for one node"),
        args=TRN2_ARGS,
        environment=(
            *OFFLINE,
            ("VLLM_CACHE_ROOT", "{compiled_path}"),
            ("VLLM_NEURON_COMPILATION_TIMEOUT", str(NEURON_START_S)),
            ("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", str(NEURON_START_S)),
            ("NEURON_SKIP_EFA_AFFINITY", "1"),
        ),
        serve_environment=(("VLLM_NEURON_DISABLE_WARMUP_COMPILE", "1"),),
        unset=NEVER_SET,
        defaults=Defaults(tensor_parallel_size=4, prefix_caching=False),
        context_multiple=512,
        device_resource="aws.amazon.com/neuron",
        shapes=TRN2_SHAPES,
        taint_key="aws.amazon.com/neuron",
        start_budget_s=NEURON_START_S,
        start_attempts=3,
        structured_output="supported",
        request_field="response_format",
        calls_per_question=1,  # it samples greedily whatever is asked (TRN2_ARGS): the same prompt gets the same answer again
        scale_to_zero_allowed=False,
        needs_compile=True,
        compile_target="trn2",
        compiled_copied=True,
    ),
    Profile(
        name="gpu",
        image=Image("docker.io/vllm/vllm-openai:v0.26.0", note="vLLM's own image; its entrypoint is replaced by `vllm`"),
        vllm="0.26.0",
        dialect="upstream",
        args=(*SERVE, *WITHOUT_SPACES),
        environment=OFFLINE,
        defaults=Defaults(max_num_seqs=64),
        device_resource="nvidia.com/gpu",
        shapes=GPU_SHAPES,
        taint_key="nvidia.com/gpu",
        start_budget_s=900,
        structured_output="supported",
        request_field="response_format",
    ),
    Profile(
        name="cpu",
        image=Image(
            "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.32.0",
            note="the repository that vLLM's documentation names",
        ),
        vllm="0.32.0",
        dialect="upstream",
        notes=("for smoke tests; vLLM 0.32.0 for CPU was seen running, this image was not pulled",),
        args=(*SERVE, "--enforce-eager", *WITHOUT_SPACES),
        environment=(*OFFLINE, ("VLLM_CPU_KVCACHE_SPACE", "1")),
        defaults=Defaults(dtype="float32", max_num_seqs=4),
        shapes=CPU_SHAPES,
        start_budget_s=600,
        structured_output="supported",
        request_field="response_format",
    ),
    Profile(
        name="external",
        has_pod=False,
        notes=("any OpenAI-compatible server that someone else runs",),
        start_budget_s=0,
        structured_output="probed",
        request_field="response_format",
    ),
)
PROFILES = {profile.name: profile for profile in ROWS}

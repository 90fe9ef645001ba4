"""What a deployment decides about its model server, and what each placeholder then stands for. Knows no profile by name.

Substitution is plain string replacement of `{name}`, so that a Helm template can do the same. One value is computed: `buckets`.
"""

from dataclasses import dataclass

from expander.runtimes.profile import Profile

BUCKET_PARTS = (4, 2, 1)
"""Compiled lengths: a quarter, half and all of `max_model_len`. The largest must be all of it, or a long prompt has no bucket."""


@dataclass(frozen=True)
class Options:
    """What a deployment decides. None leaves it to the profile's defaults; the rest is checked, not rendered."""

    model_path: str
    model_name: str = ""
    model_revision: str = ""
    served_name: str = "expander"
    image: str = ""
    tensor_parallel_size: int | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    dtype: str | None = None
    prefix_caching: bool | None = None
    host: str | None = None
    port: int | None = None
    instance_type: str = ""
    model_billions: float | None = None
    min_replicas: int = 1
    ami_alias: str = ""

    @property
    def name(self) -> str:
        """The model's name; by default the last part of its path."""
        return self.model_name or self.model_path.rstrip("/").rsplit("/", 1)[-1]


PLACEHOLDERS = {
    "model_path": "folder of the model in the pod",
    "model_name": "name of the model, for the key; default: last part of model_path",
    "model_revision": "revision of the model's files, for the key",
    "served_name": "name under which it is served; default: expander",
    "image": "reference of the image that the pod runs, for the key",
    "tensor_parallel_size": "value or defaults.tensor_parallel_size",
    "max_model_len": "value or defaults.max_model_len",
    "max_num_seqs": "value or defaults.max_num_seqs",
    "block_size": "defaults.block_size",
    "dtype": "value or defaults.dtype",
    "host": "defaults.host",
    "port": "value or defaults.port",
    "prefix_caching": "--enable-prefix-caching or --no-enable-prefix-caching, by value or defaults.prefix_caching",
    "buckets": "max_model_len / 4, max_model_len / 2, max_model_len, joined by commas without spaces",
    "profile": "name of the profile",
    "compile_target": "the profile's compile_target",
    "flags": "the profile's flags: a hash over its args and environment",
    "compiled_path": "folder of the compiled artefact: {artefacts}/{key} (environment only)",
    "artefacts": "folder of all compiled artefacts (wrapper only)",
    "key": "the key (wrapper only)",
}


def values(profile: Profile, options: Options) -> dict[str, str]:
    """What each placeholder stands for, but for `compiled_path`."""
    preset = profile.defaults
    length = options.max_model_len or preset.max_model_len
    caching = preset.prefix_caching if options.prefix_caching is None else options.prefix_caching
    return {
        "model_path": options.model_path,
        "model_name": options.name,
        "model_revision": options.model_revision,
        "served_name": options.served_name,
        "image": options.image,
        "tensor_parallel_size": str(options.tensor_parallel_size or preset.tensor_parallel_size),
        "max_model_len": str(length),
        "max_num_seqs": str(options.max_num_seqs or preset.max_num_seqs),
        "block_size": str(preset.block_size),
        "dtype": options.dtype or preset.dtype,
        "host": options.host or preset.host,
        "port": str(preset.port if options.port is None else options.port),
        "prefix_caching": "--enable-prefix-caching" if caching else "--no-enable-prefix-caching",
        "buckets": ",".join(str(length // part) for part in BUCKET_PARTS),
        "profile": profile.name,
        "compile_target": profile.compile_target,
        "flags": profile.flags,
    }


def filled(template: str, known: dict[str, str]) -> str:
    """`template` with each `{name}` replaced."""
    for name, value in known.items():
        template = template.replace("{" + name + "}", value)
    return template

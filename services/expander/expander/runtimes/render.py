"""Turns a profile and options into vLLM's command line and environment. Knows nothing of processes."""

from expander.runtimes import rules
from expander.runtimes.options import Options, filled, values
from expander.runtimes.profile import Profile


def render(profile: Profile, options: Options) -> tuple[str, ...]:
    """The command line that serves the model; raises `Refused` for what is known not to work."""
    rules.check(profile, options)
    known = values(profile, options)
    return ("vllm", *(filled(argument, known) for argument in profile.args))


def environment(profile: Profile, compiled_path: str, *, compiling: bool) -> tuple[tuple[str, str], ...]:
    """What vLLM's environment needs in addition."""
    extra = () if compiling else profile.serve_environment
    return tuple((name, value.replace("{compiled_path}", compiled_path)) for name, value in profile.environment + extra)

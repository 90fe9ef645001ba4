"""Writes what of the chart is made from something else: values.schema.json and README.md. Knows where things are, not what they say.

python deploy/helm/write_chart.py [--check]
"""

import argparse
import json
import re
import sys
from pathlib import Path

import yaml

import values_file
from chart_readme import readme
from values_schema import schema

CHART = Path(__file__).parent / "warmstart"


def profile(path: Path) -> tuple[str, list[str]]:
    """What a profile is for (its first line) and the keys that a first install must set (its lines `#   key: meaning`)."""
    text = path.read_text()
    return text.splitlines()[0].removeprefix("# "), re.findall(r"^#   ([\w.]+):", text, re.MULTILINE)


def written() -> dict[Path, str]:
    """Each file that is made, with its text."""
    values, comments = values_file.values(CHART / "values.yaml"), values_file.comments(CHART / "values.yaml")
    profiles = json.loads((CHART / "files" / "runtime-profiles.json").read_text())["profiles"]
    named = {path.stem: profile(path) for path in sorted((CHART / "profiles").glob("*.yaml"))}
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return {
        CHART / "values.schema.json": json.dumps(schema(values, comments, profiles), indent=1, ensure_ascii=False) + "\n",
        CHART / "README.md": readme(about, values, comments, named),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write values.schema.json and README.md of the chart.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not what would be written")
    check = parser.parse_args().check
    stale = [path for path, text in written().items() if not path.exists() or path.read_text() != text]
    if check and stale:
        sys.exit("not what `make chart` writes: " + ", ".join(str(path.relative_to(CHART.parent)) for path in stale))
    for path, text in written().items():
        path.write_text(text)


if __name__ == "__main__":
    main()

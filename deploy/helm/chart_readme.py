"""Makes the chart's README from its values and their comments. Knows how it is laid out, not what the keys mean."""

import json
from collections.abc import Mapping
from typing import Any

HEAD = """# {name} {version}

{description}

Written by `make chart` from values.yaml; do not edit. How to install, upgrade and take apart: docs/kubernetes.md.

```sh
helm install warmstart deploy/helm/warmstart -f deploy/helm/warmstart/profiles/dev.yaml
```

| profile | for | values to set |
|---|---|---|
{profiles}

Unknown keys and values that can not work are refused with the reason, by values.schema.json and templates/validate.yaml.
"""


def _default(value: Any) -> str:
    text = (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict | list)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
    return f"`{text}`" if text else ""


def _found(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def _rows(section: str, values: Mapping[str, Any], comments: Mapping[str, str]) -> list[str]:
    keys = [key for key in comments if (key == section or key.startswith(f"{section}.")) and comments[key]]
    return [f"| `{key}` | {_default(_found(values, key))} | {comments[key]} |".replace("|  |", "| |") for key in keys]


def readme(
    about: Mapping[str, Any], values: Mapping[str, Any], comments: Mapping[str, str], profiles: Mapping[str, tuple[str, list[str]]]
) -> str:
    """The page; `profiles` gives for each file of values what it is for and which keys a first install must set."""
    listed = "\n".join(
        f"| [{name}](profiles/{name}.yaml) | {purpose} | {', '.join(f'`{key}`' for key in keys) or 'none'} |"
        for name, (purpose, keys) in profiles.items()
    )
    parts = [HEAD.format(**about, profiles=listed)]
    for section in values:
        rows = _rows(section, values, comments)
        parts.append("\n".join([f"## {section}", "", "| key | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)

"""How many CPUs this process may use. Knows nothing of threads."""

import os
from pathlib import Path

UNLIMITED = float("inf")


def available(root: Path = Path("/")) -> int:
    """The CPUs of the affinity mask or of the cgroup's quota, whichever is fewer, rounded down; at least 1.

    The host's count is wrong in a container: more threads than quota are stopped by the scheduler in mid-batch.
    """
    return max(1, int(min(len(os.sched_getaffinity(0)), _quota(root))))


def _quota(root: Path) -> float:
    """CPUs of the tightest quota among this process's cgroup and its ancestors (cgroup v2 and v1)."""
    quotas = [UNLIMITED]
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        group = Path(path.lstrip("/"))
        for ancestor in (group, *group.parents):
            if not controllers:
                quotas.append(_ratio(_read(root / "sys/fs/cgroup" / ancestor / "cpu.max")))
            elif "cpu" in controllers.split(","):
                home = root / "sys/fs/cgroup/cpu" / ancestor
                quotas.append(_ratio(f"{_read(home / 'cpu.cfs_quota_us')} {_read(home / 'cpu.cfs_period_us')}"))
    return min(quotas)


def _ratio(quota_and_period: str) -> float:
    """`150000 100000` -> 1.5; anything without a positive quota is unlimited."""
    match quota_and_period.split():
        case [quota, period] if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            return int(quota) / int(period)
        case _:
            return UNLIMITED


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""

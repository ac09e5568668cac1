"""What the machine offers a training: cores, GPUs, disk."""
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any, List, Optional

_QUOTA = ('/sys/fs/cgroup/cpu.max',)  # version 2: quota and period in one line
_QUOTA_1 = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us', '/sys/fs/cgroup/cpu/cpu.cfs_period_us'


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_cores(root: str = '/') -> Optional[float]:
    """Cores' worth of time that a container is given; ``None`` where nothing limits it.

    Args:
        root: where ``/sys`` is.
    """
    for files in (_QUOTA, _QUOTA_1):
        try:
            words = ' '.join(Path(root, name.lstrip('/')).read_text() for name in files).split()
            quota, period = float(words[0]), float(words[1])  # 'max' is no number
        except (OSError, ValueError, IndexError):
            continue
        return quota / period if quota > 0 and period > 0 else None
    return None


def threads(torch: Optional[Any]) -> str:
    """Cores, limit and threads in one line."""
    limit, count = cgroup_cores(), torch.get_num_threads() if torch else None
    return ', '.join([
        f'{cores()} of {os.cpu_count()} cores',
        'no cgroup limit' if limit is None else f'cgroup limit {limit:g}',
        *([] if count is None else [f'torch uses {count} thread{"s" * (count != 1)}']),
        f'OMP_NUM_THREADS={os.environ.get("OMP_NUM_THREADS", "(not set)")}'])


def gpus(torch: Optional[Any]) -> List[str]:
    """A line for each kind of GPU."""
    if torch is None or not torch.cuda.is_available():
        built = torch and torch.version.cuda
        return [f'no GPU (torch is built for CUDA {built})' if built else 'no GPU']
    names = []
    try:
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            names.append(f'{about.name} ({about.total_memory / 2**30:.0f} GiB, '
                         f'{about.major}.{about.minor})')
    except RuntimeError as error:  # a driver that is older than CUDA, a GPU that is lost
        return [f'GPU that cannot be used: {str(error).splitlines()[0]}']
    return [f'{names.count(name)} x {name}, CUDA {torch.version.cuda}'
            for name in dict.fromkeys(names)]


def free_disk(folder: str = '.') -> float:
    """GiB that are free where results would be written; 0 in a folder that is gone."""
    try:
        return shutil.disk_usage(folder).free / 2**30
    except OSError:
        return 0.0


def python() -> str:
    """The interpreter and the system, without a path."""
    return f'Python {platform.python_version()}, {sys.platform} {platform.machine()}'

"""Which distributions stand behind an import name, and where two of them write the same files.

``mmcv`` and ``mmcv-lite``, ``mmengine`` and ``onedl-mmengine`` install into one folder: the later
one overwrites the earlier, pip counts both as installed, and removing either leaves neither whole.
pip has no means to forbid it, so it is looked for. Reads metadata only and imports nothing else.
"""
from importlib.metadata import Distribution, distributions
from itertools import chain
from typing import Dict, List, NamedTuple, Tuple

# import name -> the distributions that provide it; in a tie the first one stays.
PROVIDERS = {
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
OPENMMLAB = tuple(name for names in PROVIDERS.values() for name in names)

#: What sets up a training beside the search alone; pip knows the extras of what it has installed.
INSTALL = "pip install 'autokd_mm[onedl]'"


class Clash(NamedTuple):
    """Distributions that have written the same files: the one to keep, and those to remove."""

    kept: str
    version: str
    removed: Tuple[str, ...]

    def mend(self) -> str:
        """The commands that leave one of them, whole."""
        return (f'pip uninstall -y {" ".join(self.removed)}; pip install --force-reinstall '
                f'--no-deps {self.kept}=={self.version}')


def distributions_by_name(*names: str) -> Dict[str, Distribution]:
    """What is installed; of two versions on the path, the one that Python imports.

    Args:
        names: look for these alone, which is ten times as fast; by default all.
    """
    found: Dict[str, Distribution] = {}
    for one in (chain.from_iterable(distributions(name=name) for name in names) if names
                else distributions()):
        try:
            name = normal(one.metadata['Name'] or '')
        except (OSError, TypeError):  # as of importlib_metadata 8, which replaces Python's own
            name = ''
        if name:  # an empty folder may be left of a removed one
            found.setdefault(name, one)
    return found


def normal(name: str) -> str:
    """The name as pip compares it."""
    return name.lower().replace('_', '-').replace('.', '-')


def for_training(found: Dict[str, Distribution]) -> bool:
    """Whether any of OpenMMLab's packages is there: somebody wants more than the search alone."""
    return any(name in found for name in OPENMMLAB)


def clashes(found: Dict[str, Distribution]) -> List[Clash]:
    """The OpenMMLab packages that are installed twice, into one folder.

    Args:
        found: of :func:`distributions_by_name`.
    """
    result = []
    for names in PROVIDERS.values():
        there = [name for name in names if name in found]
        folders = [str(found[name].locate_file('')) for name in there]
        there = [name for name, folder in zip(there, folders) if folders.count(folder) > 1]
        if there:
            # mmcv-lite last: it lacks the compiled operations. Otherwise the set that the others
            # are of.
            onedl = any(name.startswith('onedl-') for name in set(found) - set(there))
            there.sort(key=lambda name: (name == 'mmcv-lite', name.startswith('onedl-') != onedl))
            result.append(Clash(there[0], found[there[0]].version, tuple(there[1:])))
    return result

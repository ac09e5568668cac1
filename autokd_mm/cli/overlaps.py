"""Files that two distributions claim, read from the ``RECORD`` that pip keeps of each."""
import csv
from importlib.metadata import Distribution
from typing import Dict, Iterator, List, NamedTuple, Tuple

from autokd_mm.installed import OPENMMLAB

# Packages leave these at the top of site-packages by mistake, and nobody imports them there.
_JUNK = ('docs', 'examples', 'test', 'tests')


class Overlap(NamedTuple):
    """Two distributions with files of one name and different content."""

    first: str
    other: str
    files: int
    folder: str


def overlaps(found: Dict[str, Distribution]) -> List[Overlap]:
    """Who has overwritten whom, the most files first.

    A file that both have brought with the same content (an empty ``__init__.py``) harms nobody.

    Args:
        found: of ``installed.distributions_by_name``.
    """
    owners: Dict[Tuple[str, str], List[Tuple[str, str]]] = {}
    for name, one in found.items():
        base = str(one.locate_file(''))
        for path, digest in _record(one):
            owners.setdefault((base, path), []).append((name, digest))
    pairs: Dict[Tuple[str, str], List[str]] = {}
    for (_, path), claims in owners.items():
        for at, (name, digest) in enumerate(claims):
            for other, another in claims[at + 1:]:
                if digest != another and name != other:
                    pairs.setdefault((name, other), []).append(path)
    result = [Overlap(name, other, len(paths), paths[0].split('/')[0])
              for (name, other), paths in pairs.items()]
    return sorted(result, key=lambda one: (-one.files, one))


def harmless(one: Overlap, found: Dict[str, Distribution]) -> bool:
    """Of the same version the later one does what the earlier did: OpenCV with a window and without
    one. The packages of OpenMMLab are told about in any case."""
    same = found[one.first].version == found[one.other].version
    return same and not {one.first, one.other} & set(OPENMMLAB)


def _record(one: Distribution) -> Iterator[Tuple[str, str]]:
    """Path and digest of each file that Python could import or run."""
    try:
        lines = (one.read_text('RECORD') or '').splitlines()
    except (OSError, UnicodeDecodeError):  # damaged: nothing is known of its files
        return
    for row in csv.reader(lines):
        top = row[0].split('/')[0] if len(row) > 1 and row[1] else ''
        if top and not top.endswith('.dist-info') and top not in _JUNK:
            yield row[0], row[1]

"""``manifest.json``: what a bank was made from, what it holds, a checksum for each shard."""
from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any, Dict, List, Mapping

from autokd_mm.bank.files import write_json
from autokd_mm.bank.plan import Plan
from autokd_mm.errors import AutoKDError, ConfigError
from autokd_mm.version import __version__

MANIFEST = 'manifest.json'
# Of the layout on disk: another number cannot be read.
FORMAT = 2
_VERSIONS_OF = ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'numpy')


class TornBank(AutoKDError):
    """A file of the bank is missing, cut short or changed."""


def versions() -> Dict[str, str]:
    """Versions of this package and of those below it that are loaded.

    They inform and do not refuse: a version that renders other pixels shows in the digest of the
    pixels, which refuses.
    """
    found = {name: getattr(sys.modules.get(name), '__version__', '') for name in _VERSIONS_OF}
    return dict(autokd_mm=__version__, **{name: str(text) for name, text in found.items() if text})


def write_manifest(folder: str, plan: Plan, checksums: Mapping[str, List[str]],
                   made_with: Mapping[str, str]) -> None:
    """Args:
        checksums: array -> one for each of its shards.
        made_with: of :func:`versions`.
    """
    values = plan.to_dict()
    for name, entry in values['arrays'].items():
        entry['checksums'] = list(checksums[name])
    values = dict(format=FORMAT, versions=dict(made_with), rows=plan.rows, **values)
    write_json(os.path.join(folder, MANIFEST), dict(values, checksum=_digest(values)))


def read_manifest(folder: str) -> Dict[str, Any]:
    """The manifest of a bank.

    Raises:
        TornBank: it is missing or unreadable.
        ConfigError: it is of another layout.
    """
    file = os.path.join(folder, MANIFEST)
    try:
        with open(file) as stream:
            manifest = json.load(stream)
        there = manifest.get('format', 1)
        if there == FORMAT:
            if manifest.pop('checksum') != _digest(manifest):
                raise ValueError('changed')
    except (OSError, ValueError, KeyError, AttributeError):
        raise TornBank(file) from None
    if there != FORMAT:
        raise ConfigError(f'{folder} was written by another version of autokd_mm (layout {there} '
                          f'there, {FORMAT} here); use another folder or delete the bank')
    return manifest


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

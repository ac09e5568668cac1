"""Which config a name means: a file, or one that comes with an installed package of OpenMMLab."""
from __future__ import annotations

import glob
import importlib.util
import os
import re
from difflib import get_close_matches
from typing import Dict, Iterator, List, NamedTuple, Tuple

from autokd_mm.errors import ConfigError
from autokd_mm.pairs.cfg_path import find
from autokd_mm.report.export import in_folder

PACKAGES = ('mmdet', 'mmseg', 'mmpretrain')


class Source(NamedTuple):
    """Where the config of a network lies.

    Attributes:
        file: its path.
        package: whose it is; '' of a file of the user's.
        path: below the package's configs, ``'retinanet/retinanet_r50_fpn_2x_coco.py'``.
    """
    file: str
    package: str = ''
    path: str = ''

    @property
    def name(self) -> str:
        return os.path.splitext(os.path.basename(self.file))[0]

    def as_base(self, folder: str) -> str:
        """As ``_base_`` of a config in ``folder`` names it."""
        if self.package:
            return f'{self.package}::{self.path}'
        if os.path.commonpath([self.file, os.path.abspath(folder)]) == os.sep:
            return self.file
        return os.path.relpath(self.file, folder).replace(os.sep, '/')

    def as_cfg_path(self, folder: str) -> str:
        """As ``cfg_path`` of a network, in a config in ``folder``, names it."""
        base = self.as_base(folder)
        return base if self.package or os.path.isabs(base) else in_folder(base, folder)


def resolve(word: str, key: str) -> Source:
    """The config that ``word`` means.

    Args:
        word: a file; ``'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'``; or a name, as files are
            called or as a metafile calls them.
        key: for messages, ``'TEACHER'``.

    Raises:
        ConfigError: nobody knows it (with the nearest five), or several packages do.
    """
    if os.path.isfile(word):
        return _of_a_package(os.path.abspath(word))
    if '::' in word:
        package, _, file = find(word, key)
        return Source(file, package, word.split('::')[1])
    if os.path.splitext(word)[1] in ('.yml', '.yaml', '.json') or os.sep in word:
        raise ConfigError(f'{key}: there is no file {word}')
    name = word[:-len('.py')] if word.endswith('.py') else word
    found = _by_stem().get(name) or _by_metafile().get(name)
    if not found:
        known = {**_by_metafile(), **_by_stem()}
        if not known:
            raise ConfigError(f'{key}: {word!r} is no file, and none of {", ".join(PACKAGES)} is '
                              'installed with its configs')
        close = get_close_matches(name, list(known), n=5, cutoff=0.0)
        raise ConfigError(f'{key}: {word!r} is no file and no config of an installed package; the '
                          f'nearest are {", ".join(close)}')
    if len(found) > 1:
        raise ConfigError(f'{key}: {word!r} is in several places, say which: '
                          f'{", ".join(f"{one.package}::{one.path}" for one in found)}')
    return found[0]


def folders() -> Iterator[Tuple[str, str]]:
    """Name of each installed package, and the folder with its configs."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            # The second place is that of a checkout that was installed with pip -e.
            for configs in (os.path.join(place, '.mim', 'configs'),
                            os.path.join(os.path.dirname(place), 'configs')):
                if os.path.isdir(configs):
                    yield package, configs
                    break


def _of_a_package(file: str) -> Source:
    for package, configs in folders():
        inside = os.path.relpath(os.path.realpath(file), os.path.realpath(configs))
        if not inside.startswith(os.pardir):
            return Source(file, package, inside.replace(os.sep, '/'))
    return Source(file)


def _by_stem() -> Dict[str, List[Source]]:
    found: Dict[str, List[Source]] = {}
    for package, configs in folders():
        for folder, below, names in os.walk(configs, followlinks=True):
            below[:] = sorted(name for name in below if name != '_base_')
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix == '.py':
                    file = os.path.join(folder, name)
                    path = os.path.relpath(file, configs).replace(os.sep, '/')
                    found.setdefault(stem, []).append(Source(file, package, path))
    return found


def _by_metafile() -> Dict[str, List[Source]]:
    """The names of published models whose file is called otherwise. Read as text: the metafiles of
    three packages take a parser of YAML a minute."""
    found: Dict[str, List[Source]] = {}
    for package, configs in folders():
        for metafile in sorted(glob.glob(os.path.join(configs, '**', '*.y*ml'), recursive=True)):
            with open(metafile, encoding='utf-8') as file:
                text = file.read()
            for entry in re.split(r'^ *- Name: *', text, flags=re.MULTILINE)[1:]:
                config = re.search(r'^ *Config: *configs/(\S+)', entry, re.MULTILINE)
                path = os.path.join(configs, config.group(1)) if config else ''
                if config and os.path.isfile(path):
                    name = entry.split('\n', 1)[0].strip().strip('\'"')
                    source = Source(path, package, config.group(1))
                    if source not in found.setdefault(name, []):
                        found[name].append(source)
    return found

"""Files that are no whole images, found before anything is made of them."""
from __future__ import annotations

import os
import warnings
from typing import Any, List, Mapping, NamedTuple, Optional

from autokd_mm.datasets.identity import info_of, path_of
from autokd_mm.datasets.unreadable import unreadable
from autokd_mm.datasets.wrappers import source, steps_of
from autokd_mm.errors import DataError

KEY = 'train_dataloader.dataset'


class _Format(NamedTuple):
    """How a file of an image begins, and what is among its last bytes where it is whole."""
    begins: bytes
    ends: bytes


_FORMATS = (_Format(b'\xff\xd8\xff', b'\xff\xd9'), _Format(b'\x89PNG\r\n\x1a\n', b'IEND'),
            _Format(b'GIF8', b';'), _Format(b'BM', b''), _Format(b'II*\0', b''),
            _Format(b'MM\0*', b''), _Format(b'RIFF', b''))
# Some writers put a few bytes behind the end.
_LAST = 64
_MISSING_FILES_TRIED = 1
# What annotation files call that for which a pipeline has another name.
_IN_ANNOTATIONS = dict(mask="'segmentation' (with_mask=True)")


class ReadableImages:
    """Tells which images of a dataset can be read; a look at both ends of a file does for most.

    Args:
        dataset: any, wrapped or not.
        key: of the dataset in the config.

    Attributes:
        left_out: images for which the pipeline loads nothing (``ignore_empty=True``).
    """

    def __init__(self, dataset: Any, key: str = KEY) -> None:
        self.dataset, self.key = dataset, key
        self.left_out = 0
        self._missing_tried = 0

    def __call__(self, index: int) -> bool:
        """Whether the pipeline loads sample ``index``.

        Raises:
            DataError: its file is there and no whole image: names the file.
        """
        dataset, place = source(self.dataset, int(index))
        path = path_of(info_of(dataset, place))
        if path is None or _is_whole(path):
            return True
        if not os.path.isfile(path):
            if '://' in path or self._missing_tried >= _MISSING_FILES_TRIED:
                return True  # of a storage that the pipeline knows; it is asked once
            self._missing_tried += 1
        return self._loads(dataset, place, path)

    def _loads(self, dataset: Any, place: int, path: str) -> bool:
        info: Any = info_of(dataset, place)
        for step in loading_steps(dataset):
            try:
                info = step(info)
            except Exception as error:
                raise not_loaded(info, error, self.key, dataset, step) from None
            if info is None:
                self.left_out += 1
                return False
        if _is_cut(path):
            raise DataError(f'{self.key}: {path} is damaged, its end is missing; mend it, or take '
                            'it out of the annotations')
        return True


def loading_steps(dataset: Any) -> List[Any]:
    """The transforms at the beginning of a dataset's pipeline that load files."""
    found: List[Any] = []
    for step in steps_of(dataset):
        if not type(step).__name__.startswith('Load'):
            break
        found.append(step)
    return found


def blamed(dataset: Any, index: int, key: str = KEY) -> Optional[DataError]:
    """The error to tell when sample ``index`` cannot be read; ``None`` where its files can be, so
    that something else must have gone wrong."""
    dataset, place = source(dataset, int(index))
    info: Any = info_of(dataset, place)
    if info is None:
        return None
    for step in loading_steps(dataset):
        try:
            info = step(info)
        except Exception as error:
            return not_loaded(info, error, key, dataset, step)
        if info is None:
            return None
    return None


def not_loaded(info: Mapping[str, Any], error: Exception, key: str, dataset: Any,
               step: Any = None) -> DataError:
    """One line that names the file which a transform could not load.

    Args:
        step: the transform, where it is known.
    """
    if isinstance(error, FileNotFoundError):
        return DataError(f'{key}: {error.filename or error} is not there, the annotations name '
                         f'it; is data_root={getattr(dataset, "data_root", "")!r} right, and '
                         'data_prefix?')
    # What is loaded behind an image is its annotations.
    path = info.get('seg_map_path') if 'img' in info else path_of(info)
    path = path or path_of(info)
    if isinstance(error, KeyError) and step is not None:  # of what the annotations say
        missing = error.args[0] if error.args else ''
        return DataError(f'{key}.pipeline: {type(step).__name__} needs '
                         f'{_IN_ANNOTATIONS.get(missing, repr(missing))} of {path}, and its '
                         f'annotation has none (ann_file={getattr(dataset, "ann_file", "")!r})')
    why = unreadable(error).partition(f': {path}')[0] or type(error).__name__
    if path and os.path.isfile(path) and not os.path.getsize(path):
        why = 'it is empty'
    return DataError(f'{key}: {path} cannot be read ({why[:120]}); mend it, or take it out of the '
                     'annotations')


def _is_whole(path: str) -> bool:
    """By its first and its last bytes; ``False`` where more has to be looked at."""
    try:
        with open(path, 'rb') as file:
            begins = file.read(12)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LAST))
            ends = file.read()
    except (OSError, ValueError):
        return False
    return any(begins.startswith(one.begins) and one.ends in ends for one in _FORMATS)


def _is_cut(path: str) -> bool:
    """A file of a format that has an end, which is not there. Some decoders fill up what is
    missing with grey, without a word; Pillow says it."""
    try:
        with open(path, 'rb') as file:
            begins = file.read(12)
    except (OSError, ValueError):
        return False
    if not any(begins.startswith(one.begins) and one.ends for one in _FORMATS):
        return False
    from PIL import Image
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            with Image.open(path) as image:
                image.load()
        except Exception:
            return True
    return False

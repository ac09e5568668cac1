"""What a pipeline packs beside boxes, their labels and one segmentation map, as arrays and back.

An array is called ``FIELD.KEY.FORM``: of ``gt_instances.masks`` it is ``gt_instances.masks.bits``.
The forms:

- ``bits``: instance masks, N x ceil(H W / 8) packed bits, row by row;
- ``boxes``: horizontal boxes, N x 4;
- ``rows``: any other numbers of instances (of ``InstanceData``);
- ``map``: whole numbers of pixels (of ``PixelData``) from 0 to 255, as uint8;
- ``pixels``: other numbers of pixels;
- ``meta``: a number that an ``InstanceData`` or ``PixelData`` has beside them;
- ``value``: numbers of the data sample itself, ``KEY..value``.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from autokd_mm.errors import ConfigError

Arrays = Dict[str, np.ndarray]
FORMS = ('bits', 'boxes', 'rows', 'map', 'pixels', 'meta', 'value')


def is_extra(name: str) -> bool:
    """Whether an array of a bank is one of these."""
    return name.count('.') >= 2 and name.rsplit('.', 1)[1] in FORMS


def pack(sample: Any, own: Iterable[str], kept: Mapping[str, np.ndarray],
         size: Tuple[int, int]) -> Arrays:
    """The arrays of all that is not among ``own``.

    Args:
        own: fields that others keep, such as ``'gt_instances.bboxes'``.
        kept: name of a field -> which of its instances are kept, True or False for each.
        size: (height, width) of the image.

    Raises:
        ConfigError: a map or masks of another size than the image, or numbers out of range.
    """
    found: Arrays = {}
    for field, key, value, element in _fields(sample):
        if f'{field}.{key}' in own:
            continue
        packed = _packed(value, element, f'{field}.{key}'.strip('.'), size)
        if packed is not None:
            form, array = packed
            rows = kept.get(field)
            if rows is not None and form in ('bits', 'boxes', 'rows') and len(array) == len(rows):
                array = array[rows]
            found[f'{field}.{key}.{form}'] = array
    return found


def not_kept(sample: Any) -> List[str]:
    """Names of what a sample has and no array can hold."""
    return [f'{field}.{key}'.strip('.') for field, key, value, element in _fields(sample)
            if _form(value, element) is None]


def unpack(sample: Any, arrays: Mapping[str, np.ndarray], size: Tuple[int, int]) -> None:
    """Put what :func:`pack` has found into a data sample."""
    # Numbers beside the others last, when their element is there.
    for name in sorted(arrays, key=lambda name: (name.endswith('.meta'), name)):
        if not is_extra(name):
            continue
        field, key, form = name.rsplit('.', 2)
        value = _unpacked(arrays[name], form, size)
        if form == 'value':
            sample.set_field(value, field)
            continue
        element = sample.get(field)
        if element is None:
            element = PixelData() if form in ('map', 'pixels') else InstanceData()
        if form == 'meta':
            element.set_metainfo({key: value})
        else:
            setattr(element, key, value)
        setattr(sample, field, element)


def resized(arrays: Mapping[str, np.ndarray], old: Tuple[int, int], new: Tuple[int, int],
            nearest: Callable[[np.ndarray, Tuple[int, int]], np.ndarray]) -> Arrays:
    """The arrays of an image that is resized from ``old`` to ``new`` (height, width).

    Args:
        nearest: resizes N x H x W.

    Raises:
        ConfigError: it is not known where the image is in the numbers of an array.
    """
    factors = np.tile([new[1] / old[1], new[0] / old[0]], 2)
    result: Arrays = {}
    for name, array in arrays.items():
        field, key, form = name.rsplit('.', 2)
        if form == 'bits':
            result[name] = _bits(nearest(_bitmaps(array, old), new))
        elif form in ('map', 'pixels'):
            result[name] = nearest(array, new)
        elif form == 'boxes' or key == 'bboxes':
            result[name] = (array * factors).astype(array.dtype)
        elif array.ndim <= 1 and form != 'value':
            result[name] = array
        else:
            raise ConfigError(f'proxy.input_size: how {f"{field}.{key}".strip(".")} changes with '
                              'the size of the image is not known; resize in the pipeline')
    return result


def _fields(sample: Any) -> Iterator[Tuple[str, str, Any, Any]]:
    """Field, key, value and the element that it is in (``None``: the sample itself) of all that a
    sample has, but for names of what is known by its own."""
    for field in sorted(sample.keys()):
        element = sample.get(field)
        if not isinstance(element, BaseDataElement):
            yield field, '', element, None
            continue
        for key in sorted(element.keys()):
            yield field, key, element.get(key), element
        for key in sorted(element.metainfo_keys()):
            if isinstance(element.get(key), (bool, int, float)):
                yield field, key, element.get(key), BaseDataElement


def _form(value: Any, element: Any) -> Optional[str]:
    if element is BaseDataElement:
        return 'meta'
    if isinstance(element, InstanceData) and hasattr(value, 'to_ndarray'):  # of mmdet's masks
        return 'bits'
    if type(value).__name__ == 'HorizontalBoxes':
        return 'boxes'
    if hasattr(value, 'tensor') or _numbers(value) is None:
        return None
    if element is None:
        return 'value'
    if isinstance(element, PixelData):
        return 'map' if _numbers(value).dtype.kind in 'iu' else 'pixels'
    return 'rows' if isinstance(element, InstanceData) else None


def _numbers(value: Any) -> Any:
    """An array of numbers, ``None`` where it is something else."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
    if not isinstance(value, (np.ndarray, np.generic, bool, int, float, list, tuple)):
        return None
    try:
        found = np.asarray(value)
    except ValueError:  # lists of several lengths
        return None
    return found if found.dtype.kind in 'biuf' else None


def _packed(value: Any, element: Any, name: str,
            size: Tuple[int, int]) -> Optional[Tuple[str, np.ndarray]]:
    form = _form(value, element)
    if form is None:
        return None
    if form == 'bits':
        bitmaps = value.to_ndarray()
        _refuse_another_size(name, bitmaps.shape, size)
        return form, _bits(bitmaps)
    found = _numbers(value.tensor if form == 'boxes' else value)
    if form in ('map', 'pixels'):
        _refuse_another_size(name, found.shape, size)
    if form == 'map':
        if found.size and not 0 <= found.min() <= found.max() <= 255:
            raise ConfigError(f'train_pipeline: the proxy keeps {name} as uint8; its numbers are '
                              f'{found.min()} to {found.max()}')
        found = found.astype(np.uint8)
    return form, np.ascontiguousarray(found)


def _refuse_another_size(name: str, shape: Tuple[int, ...], size: Tuple[int, int]) -> None:
    if tuple(shape[-2:]) != tuple(size):
        raise ConfigError(f'train_pipeline: {name} is {" x ".join(map(str, shape))}, its image '
                          f'{size[0]} x {size[1]}; what loads it comes before what resizes')


def _unpacked(array: np.ndarray, form: str, size: Tuple[int, int]) -> Any:
    if form == 'bits':
        from mmdet.structures.mask import BitmapMasks
        return BitmapMasks(_bitmaps(array, size), *map(int, size))
    if form == 'boxes':
        from mmdet.structures.bbox import HorizontalBoxes
        return HorizontalBoxes(torch.from_numpy(np.array(array)))
    if form == 'meta':
        return array.item()
    found = torch.from_numpy(np.array(array))
    return found.long() if form == 'map' else found


def _bits(bitmaps: np.ndarray) -> np.ndarray:
    count, height, width = bitmaps.shape
    return np.packbits(bitmaps.reshape(count, height * width) != 0, axis=1)


def _bitmaps(bits: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """N x H x W, uint8."""
    pixels = int(size[0]) * int(size[1])
    return np.unpackbits(bits, axis=1)[:, :pixels].reshape(len(bits), *map(int, size))

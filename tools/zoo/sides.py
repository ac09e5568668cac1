"""Sizes of images in a config, and everything else that has to be looked for in all of it."""
import math

_SIDES = ('scale', 'scales', 'img_scale', 'crop_size', 'size', 'img_size', 'pretrain_img_size',
          'random_size_range', 'border', 'stride', 'max_size', 'bbox_min_size',
          'mask_size', 'random_sizes')
_SIDES_FROM = 100  # smaller ones are of something else: anchors, kernels


def walk(node):
    """All dicts below ``node``."""
    if isinstance(node, dict):
        yield node
        for value in list(node.values()):
            yield from walk(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from walk(value)


def _sides(node):
    """(dict, key) of all sizes of images."""
    for each in walk(node):
        for key in _SIDES:
            if key in each and not isinstance(each[key], (str, dict)):
                yield each, key


def _numbers(value):
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []


def nominal(node):
    """The side of the images that a network is made for: the smallest that all sizes have."""
    found = [number for each, key in _sides(node) if key not in ('stride', 'border', 'mask_size')
             for number in _numbers(each[key]) if number >= _SIDES_FROM]
    return min(found, default=224)


def _shrunk(value, factor, unit):
    if isinstance(value, (list, tuple)):
        return type(value)(_shrunk(item, factor, unit) for item in value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) < _SIDES_FROM:
        return value
    # a multiple of 32 stays one, as strides ask for
    step = unit if value % 32 == 0 or value > 1000 else 1
    size = round(abs(value) * factor / step) if step > 1 else math.ceil(abs(value) * factor)
    return int(max(size, 1) * step) * (1 if value > 0 else -1)


def shrink_sides(node, factor, unit):
    """Multiply them; what is a multiple of 32 becomes one of ``unit``."""
    for each, key in _sides(node):
        if key == 'stride' and 'crop_size' not in each:
            continue
        each[key] = _shrunk(each[key], factor, unit)

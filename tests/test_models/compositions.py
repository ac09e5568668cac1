"""Every legal composition of the operations: the arguments of ``FeatureLoss``."""
import itertools

from autokd_mm.models.losses import FeatureLoss
from autokd_mm.models.losses.operations import DISTANCES, INTERS, INTRAS, TRANSFORMS


def legal(channels):
    """All dicts of arguments that ``FeatureLoss`` accepts and that the maps can be compared by."""
    result = []
    for names in itertools.product(TRANSFORMS, INTRAS, INTERS, DISTANCES):
        arguments = dict(zip(('transform', 'intra', 'inter', 'distance'), names))
        if arguments['transform'] == 'random_mask':
            arguments['channels'] = channels
        try:
            loss = FeatureLoss(**arguments)
        except ValueError:
            continue
        c = 1 if arguments['transform'] == 'spatial_attention' else channels
        side = 1 if arguments['transform'] == 'channel_attention' else 5
        shape = (4, 8, c, side, side) if arguments['intra'] == 'local' else (8, c, side, side)
        if loss.distance.why_undefined(shape) is None:
            result.append(arguments)
    return result


def name(arguments):
    return '-'.join(arguments[key] for key in ('transform', 'intra', 'inter', 'distance'))

"""Losses of dense heads never wait for a device: no number is asked of a tensor, and nothing is
picked out of one by a condition."""
import dense_levels
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from autokd_mm.models.losses import BoxesLoss, ClassMapsLoss, QualityLoss
from autokd_mm.models.transforms.regions import BatchBoxes

DELTA = dict(type='delta', stds=(0.1, 0.1, 0.2, 0.2))
LOSSES = {
    'bce': lambda: ClassMapsLoss(3, 'bce', objectness=True),
    'weighted_bce': lambda: ClassMapsLoss(3, 'weighted_bce'),
    'kl': lambda: ClassMapsLoss(3, 'kl'),
    'giou': lambda: BoxesLoss(3, DELTA, 'giou', 'difference'),
    'foreground': lambda: BoxesLoss(3, DELTA, 'l1', 'foreground'),
    'distributions': lambda: BoxesLoss(3, dict(type='distribution', bins=3), 'kl', 'confidence'),
    'centerness': lambda: QualityLoss(3),
}
WAIT = ('_local_scalar_dense', 'nonzero', 'masked_select', 'is_nonzero', 'equal', 'unique')


class Heard(TorchDispatchMode):
    """Every operation, by name."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.split('.')[0]
        picks = name in ('index', 'index_put', 'index_put_') and any(
            place is not None and place.dtype == torch.bool for place in args[1])
        self.names.append('picked by a condition' if picks else name)
        return function(*args, **(kwargs or {}))


def heard(name, levels):
    loss = LOSSES[name]()
    found = dense_levels.maps(numbers=12 if name == 'distributions' else 4, dtype=torch.float32)
    for key in list(found):
        if int(key[-1]) >= levels:
            del found[key]
        elif key.startswith('student'):
            found[key].requires_grad_()
    loss.show_sizes(dense_levels.SIZES)
    if getattr(loss, 'region', None) is not None:
        boxes = torch.tensor([[1., 1, 9, 12], [4, 6, 16, 20]])
        loss.region.show(BatchBoxes((boxes, boxes[:0]), ((16, 20), (10, 17)), (16, 20)))
    with Heard() as mode:
        loss(**found).backward()
    return mode.names


@pytest.mark.parametrize('name', LOSSES)
def test_nothing_waits(name):
    names = heard(name, 2)
    assert not [one for one in names if one in WAIT or one == 'picked by a condition']


def test_what_would_wait_is_heard():
    with Heard() as mode:
        tensor = torch.rand(4)
        tensor[tensor > 0.5]
        float(tensor.sum())
    assert 'picked by a condition' in mode.names and '_local_scalar_dense' in mode.names


@pytest.mark.parametrize('name', LOSSES)
def test_what_is_computed_does_not_grow_with_the_levels(name):
    """Joining them does: a map and a mask each."""
    costly = ('sigmoid', 'exp', 'log', '_softmax', '_log_softmax', 'mul', 'div', 'sum', 'abs')
    one, two = ([each for each in heard(name, levels) if each in costly] for levels in (1, 2))
    joins = 2 if name == 'foreground' else 0  # the middles of a level's cells
    assert len(two) <= len(one) + joins

import pytest

from autokd_mm.space import DistillerSpace, Shapes
from autokd_mm.space.options import DEFAULT_OPTIONS, RELATION_DISTANCES

SMALL = dict(temperature=(1, 4), feature_weight=(1, 5), logits_temperature=(4, ),
             logits_weight=(0.5, 1), mask_ratio=(0.5, ))
SHAPES = {
    'usual': Shapes(),
    'other-shape': Shapes(batch=8, channels=16, height=4, width=4, same=False),
    'not-divisible': Shapes(batch=8, channels=16, height=7, width=5),
    '2x2': Shapes(batch=8, channels=16, height=2, width=2),
    '1x1': Shapes(batch=8, channels=16, height=1, width=1),
    'one-row': Shapes(batch=8, channels=16, height=1, width=6),
    'one-channel': Shapes(batch=8, channels=1, height=4, width=4),
    'one-number': Shapes(batch=8, channels=1, height=1, width=1),
    'batch-of-1': Shapes(batch=1, channels=16, height=8, width=8),
    'batch-of-2': Shapes(batch=2, channels=16, height=8, width=8),
    '1x1-alone': Shapes(batch=1, channels=16, height=1, width=1),
    'two-classes': Shapes(batch=8, channels=16, height=4, width=4, classes=2),
    'no-logits': Shapes(batch=8, channels=16, height=4, width=4, classes=0, has_logits=False),
    'boxes': Shapes(batch=2, channels=16, height=25, width=42, classes=80, boxes=True),
    'boxes-1x1': Shapes(batch=2, channels=16, height=1, width=1, classes=80, boxes=True),
    'boxes-one-row': Shapes(batch=1, channels=3, height=1, width=5, has_logits=False, boxes=True),
}


@pytest.fixture(params=SHAPES)
def shapes(request):
    """Tensors of all kinds that a search may meet."""
    return SHAPES[request.param]


@pytest.fixture
def small():
    """Options that keep every operation and few of the numbers."""
    return dict(SMALL)


@pytest.fixture
def with_boxes():
    """The default space of a task with boxes."""
    return DistillerSpace(shapes=Shapes(boxes=True))


@pytest.fixture
def supplement():
    """The space of the supplement: one connector, no relation extras."""
    distances = [name for name in DEFAULT_OPTIONS['distance'] if name not in RELATION_DISTANCES]
    return DistillerSpace(dict(connector=['identity'], distance=distances))

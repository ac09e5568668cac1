"""What a study remembers of the tensors of several teachers."""
from dataclasses import replace

import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.models.distillers import LayerPair, Layers
from autokd_mm.space import Shapes
from autokd_mm.task.description import _plain
from autokd_mm.task.spaces import space_over

MAP, CLASSES = (64, 8, 8), (10, 1, 1)
LAYERS = Layers(
    tuple(LayerPair(f'feature_{number}', 'neck', f'{number}.neck', MAP, MAP, 0.5)
          for number in range(2)),
    tuple(LayerPair(f'logits_{number}', 'fc', f'{number}.fc', CLASSES, CLASSES, 0.5)
          for number in range(2)))
SEVERAL = replace(LAYERS, several=True)
# What a search goes on with that was begun before there was a choice of teachers.
ALL = dict(feature_teacher=('all', ), logits_teacher='all')
BEFORE = ('feature_teachers', 'logits_teachers')


def shapes(layers, **options):
    found = space_over(layers, 'label', 8, options, lambda line: None).shapes
    return [_plain(one) for one in ([found] if isinstance(found, Shapes) else found.values())]


@pytest.mark.parametrize('shared', [True, False])
def test_a_study_from_before_teachers_were_heard_alone_is_of_the_same_tensors(shared):
    before = shapes(replace(LAYERS, shared=shared))
    assert not any(name in one for one in before for name in BEFORE)
    assert shapes(replace(SEVERAL, shared=shared), **ALL) == before


def test_they_are_known_where_teachers_are_heard_alone():
    both, = shapes(SEVERAL)
    assert all(name in both for name in BEFORE)
    one, = shapes(SEVERAL, logits_teacher=['all'])
    assert 'feature_teachers' in one and 'logits_teachers' not in one


@pytest.mark.parametrize('options', [None, ['transform'], dict(prediction_head=[1])])
def test_options_that_are_none(options):
    with pytest.raises(ConfigError, match='^space'):
        space_over(SEVERAL, 'label', 8, options, lambda line: None)

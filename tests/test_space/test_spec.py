import dataclasses

import pytest

from autokd_mm.space import LEVELS, DistillerSpace, DistillerSpec, Shapes
from autokd_mm.space.predictions import HEAD_LEVEL
from autokd_mm.space.teachers import TEACHER_LEVELS


def test_to_dict_and_back(shapes, small):
    for spec in list(DistillerSpace(small, shapes).enumerate())[::97]:
        values = spec.to_dict()
        assert DistillerSpec.from_dict(values) == spec
        assert None not in values.values()
        assert list(values) == [level for level in LEVELS if level in values]


def test_the_fields_are_the_levels():
    names = [field.name for field in dataclasses.fields(DistillerSpec)]
    assert sorted(LEVELS) == sorted(names)
    # In the order of the levels, but for those that came later; options may be given by place.
    later = [*TEACHER_LEVELS, HEAD_LEVEL]
    assert names == [name for name in LEVELS if name not in later] + later
    with pytest.raises(dataclasses.FrozenInstanceError):
        DistillerSpec('none').transform = 'random_mask'


@pytest.mark.parametrize('values, message', [
    (dict(transform='none', distnace='l2'), "distiller option 'distnace' is unknown, did you mean "
                                            "'distance'?"),
    (dict(logits='kl'), "distiller option transform is missing; 'logits_only' distils no feature"),
])
def test_mistakes(values, message):
    with pytest.raises(ValueError) as info:
        DistillerSpec.from_dict(values)
    assert str(info.value).startswith(message) and '\n' not in str(info.value)


@pytest.mark.parametrize('spec, words', [
    (DistillerSpec('logits_only', logits='kl', logits_temperature=4, logits_weight=0.5),
     'logits kl (T=4) x0.5'),
    (DistillerSpec('random_mask', 0.65, 'conv1x1', None, None, 'local', 2, 'channel', 'kl', 8, 25),
     'random mask 0.65 > local 2x2 > channel-wise > kl (T=8) via conv1x1 x25'),
    (DistillerSpec('none', None, 'identity', 'foreground_background', 0.5, 'none', None, 'none',
                   'l2', None, 1), 'feature > foreground/background 0.5 > l2 x1'),
    (DistillerSpec('none', None, 'identity', 'instances', None, 'none', None, 'sample', 'gram_l2',
                   None, 5), 'feature > instances > sample-wise > gram_l2 x5'),
    (DistillerSpec('none', None, 'identity', None, None, 'multi_scale', None, 'none', 'l2', None, 1,
                   None, 'pearson_both', 1, 5),
     'feature > multi-scale > l2 x1 + logits pearson_both (T=1) x5'),
])
def test_in_words(spec, words):
    assert spec.in_words() == words


@pytest.mark.parametrize('boxes', [None, True])
def test_words_tell_distillers_apart(small, boxes):
    space = DistillerSpace(dict(small, background_weight=[0, 0.5]), Shapes(boxes=boxes))
    words = [spec.in_words() for spec in space.enumerate()]
    assert len(set(words)) == len(words)

import pytest

from autokd_mm.errors import ConfigError, nearest


@pytest.mark.parametrize('word, valid, told', [
    ('foo', ['food', 'bar'], "'foo' is unknown, did you mean 'food'? Valid: food, bar"),
    ('xyz', ['food', 'bar'], "'xyz' is unknown. Valid: food, bar"),
    (57, (56, 20), "'57' is unknown, did you mean '56'? Valid: 56, 20"),
    ('b', dict(a=1, b2=2), "'b' is unknown, did you mean 'b2'? Valid: a, b2"),
    ('x', [], "'x' is unknown. Valid: "),
])
def test_nearest(word, valid, told):
    assert nearest(word, valid) == told


def test_long_lists_are_cut():
    told = nearest('n14', [f'n{i:02d}' for i in range(15)])
    assert told.startswith("'n14' is unknown, did you mean 'n14'? Valid: n00, n01")
    assert told.endswith('n11 and 3 more')
    assert nearest('x', 'abc', shown=2).endswith('Valid: a, b and 1 more')


def test_a_config_error_is_a_value_error():
    assert issubclass(ConfigError, ValueError)

from autokd_mm.space import LEVELS, options


def test_every_level_has_options():
    assert tuple(options.DEFAULT_OPTIONS) == LEVELS
    assert set(options.NUMERIC_LEVELS) < set(LEVELS)
    assert set(options.BOX_LEVELS) < set(LEVELS)
    assert set(options.BOX_TRANSFORMS) < set(options.DEFAULT_OPTIONS['transform'])
    assert set(options.RELATION_DISTANCES) < set(options.DEFAULT_OPTIONS['distance'])


def test_the_defaults_are_valid_options():
    assert options.checked_options(options.DEFAULT_OPTIONS) == options.DEFAULT_OPTIONS


def test_one_option_may_stand_alone():
    assert options.checked_options(dict(distance='l2', temperature=2.5, patch_grid=[3])) == dict(
        distance=('l2', ), temperature=(2.5, ), patch_grid=(3, ))

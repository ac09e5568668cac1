"""Every threshold of the rules of the distances, from both of its sides (that the rules are right
is shown with numbers, in test_rules.py)."""
import pytest

from autokd_mm.space import Shapes, rules
from autokd_mm.space.reasons import CANNOT, OTHER, REPEATS

WEIGHTED = 'foreground_background'


def fault(distance, inter, shape, transform='none', intra='none', grid=None, region=None):
    """How the reason begins, for a feature of N x C x H x W."""
    batch, channels, height, width = shape
    shapes = Shapes(batch=batch, channels=channels, height=height, width=width, boxes=True)
    found = rules.distance_fault(distance, transform, intra, grid, inter, shapes, region)
    return found and found[:found.index(':') + 2]


@pytest.mark.parametrize('distance, inter, shape, expected', [
    ('l2', 'none', (2, 1, 1, 1), None),
    ('cosine', 'none', (2, 1, 1, 1), CANNOT),
    ('cosine', 'none', (2, 1, 1, 2), None),
    ('cosine', 'none', (2, 2, 1, 1), None),
    ('pearson', 'none', (2, 2, 1, 1), CANNOT),
    ('pearson', 'none', (2, 1, 1, 3), None),
    ('kl', 'none', (2, 1, 4, 4), CANNOT),
    ('kl', 'none', (2, 2, 1, 1), None),
    ('gram_l2', 'none', (8, 8, 4, 4), CANNOT),
    ('kl', 'sample', (2, 1, 1, 1), CANNOT),
    ('kl', 'sample', (2, 2, 1, 1), REPEATS),
    ('kl', 'sample', (1, 1, 1, 2), None),
    ('l2', 'sample', (1, 8, 4, 4), CANNOT),
    ('l2', 'sample', (2, 8, 4, 4), None),
    ('cosine', 'sample', (8, 8, 4, 4), REPEATS),
    ('pearson', 'sample', (2, 8, 4, 4), CANNOT),
    ('pearson', 'sample', (3, 8, 4, 4), None),
    ('gram_l2', 'sample', (2, 1, 1, 1), REPEATS),
    ('gram_l2', 'sample', (2, 2, 1, 1), None),
    ('rkd_distance', 'sample', (2, 8, 4, 4), CANNOT),
    ('rkd_distance', 'sample', (3, 2, 1, 1), None),
    ('rkd_angle', 'sample', (2, 8, 4, 4), CANNOT),
    ('rkd_angle', 'sample', (3, 1, 1, 1), CANNOT),
    ('correlation', 'sample', (2, 1, 1, 1), CANNOT),
    ('correlation', 'sample', (2, 2, 1, 1), None),
    ('kl', 'channel', (2, 8, 1, 1), CANNOT),
    ('kl', 'channel', (2, 1, 1, 2), REPEATS),
    ('kl', 'channel', (2, 2, 1, 2), None),
    ('gram_l2', 'channel', (2, 1, 4, 4), CANNOT),
    ('gram_l2', 'channel', (2, 2, 1, 1), REPEATS),
    ('gram_l2', 'channel', (2, 2, 1, 2), None),
    ('l2', 'channel', (1, 8, 1, 1), CANNOT),
    ('l2', 'channel', (2, 8, 1, 1), REPEATS),
    ('l2', 'channel', (1, 8, 1, 2), None),
    ('l2', 'channel', (1, 1, 1, 2), REPEATS),
    ('l2', 'channel', (2, 1, 1, 2), None),
    ('cosine', 'channel', (2, 8, 4, 4), REPEATS),
    ('pearson', 'channel', (1, 8, 1, 2), CANNOT),
    ('pearson', 'channel', (1, 8, 1, 3), None),
    ('rkd_distance', 'channel', (8, 8, 4, 4), CANNOT),
    ('correlation', 'channel', (8, 8, 4, 4), CANNOT),
])
def test_thresholds(distance, inter, shape, expected):
    assert fault(distance, inter, shape) == expected


@pytest.mark.parametrize('distance, inter, shape, grid, expected', [
    ('l2', 'none', (2, 8, 4, 4), 2, REPEATS),
    ('kl', 'none', (2, 8, 4, 4), 2, REPEATS),
    ('cosine', 'none', (2, 8, 4, 4), 2, None),
    ('l2', 'sample', (2, 8, 4, 4), 2, REPEATS),
    # patches of 1 x 1, unless one of a map that the grid does not divide is larger
    ('l2', 'channel', (2, 8, 2, 2), 2, REPEATS),
    ('l2', 'channel', (2, 8, 3, 2), 2, None),
    ('l2', 'channel', (2, 8, 2, 3), 2, None),
    ('local_correlation', 'none', (2, 1, 2, 2), 2, CANNOT),
    ('local_correlation', 'none', (2, 2, 2, 2), 2, None),
    ('local_correlation', 'none', (2, 1, 4, 2), 2, None),
    ('local_correlation', 'none', (2, 1, 3, 2), 2, CANNOT),  # cropped
    ('local_correlation', 'none', (2, 1, 8, 16), 8, None),
    ('local_correlation', 'none', (2, 1, 1, 8), 2, CANNOT),
    ('local_correlation', 'sample', (2, 8, 8, 8), 2, CANNOT),
])
def test_patches(distance, inter, shape, grid, expected):
    assert fault(distance, inter, shape, intra='local', grid=grid) == expected


def test_relations_of_patches_need_patches():
    assert fault('local_correlation', 'none', (2, 8, 8, 8)) == CANNOT


@pytest.mark.parametrize('shape, expected', [
    ((4, 8, 2, 2), REPEATS), ((4, 8, 2, 3), REPEATS), ((4, 8, 3, 3), None)])
def test_one_coarser_scale_that_says_nothing(shape, expected):
    assert fault('kl', 'channel', shape, intra='multi_scale') == expected


@pytest.mark.parametrize('distance, inter', [('cosine', 'none'), ('l2', 'channel')])
def test_maps_of_equal_norm(distance, inter):
    """Spatial attention leaves them; pooling, patches and weights do not."""
    def found(**options):
        return fault(distance, inter, (4, 8, 4, 4), 'spatial_attention', **options)

    assert found() == REPEATS
    assert found(intra='multi_scale') is None
    assert found(intra='local', grid=2) is None
    assert found(region=WEIGHTED) is None
    assert fault(distance, inter, (4, 8, 4, 4)) is None


@pytest.mark.parametrize('distance, inter, expected', [
    ('l2', 'none', None), ('cosine', 'none', None), ('pearson', 'none', OTHER),
    ('kl', 'none', OTHER), ('kl', 'channel', OTHER), ('l2', 'sample', OTHER),
    ('gram_l2', 'sample', OTHER), ('l2', 'channel', None), ('gram_l2', 'channel', None)])
def test_weights_of_positions(distance, inter, expected):
    assert fault(distance, inter, (4, 8, 4, 4), region=WEIGHTED) == expected
    assert fault(distance, inter, (4, 8, 4, 4), region='instances') in (None, CANNOT)


def test_weights_in_patches_of_one_position():
    """A channel of such a patch is compared along the samples, whose boxes are elsewhere."""
    def found(distance, shape, **options):
        return fault(distance, 'channel', shape, intra='local', grid=2, **options)

    assert found('l2', (4, 8, 2, 2), region=WEIGHTED) == OTHER
    assert found('l2', (4, 8, 4, 4), region=WEIGHTED) is None
    assert found('gram_l2', (4, 8, 2, 2), region=WEIGHTED) == REPEATS
    assert found('l2', (4, 8, 2, 2)) == REPEATS

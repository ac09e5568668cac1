import pytest
import references as ref
import torch
import torch.nn.functional as F

from autokd_mm.models.transforms import LocalTransform, MultiScaleTransform


def test_multi_scale_is_hcl():
    """ReviewKD's pooling, weights and rule of what is skipped, with the squared error."""
    for seed in range(50):
        student, teacher = ref.random_pair(seed, (1, 1, 1, 1), (3, 4, 12, 12))
        loss = sum(weight * F.mse_loss(s, t)
                   for weight, s, t in MultiScaleTransform()(student, teacher))
        ref.assert_close(loss, ref.multi_scale(ref.l2, *ref.arrays(student, teacher)))


@pytest.mark.parametrize('height,width,sizes', [
    (8, 8, [8, 4, 2, 1]), (4, 4, [4, 2, 1]), (3, 3, [3, 2, 1]), (2, 2, [2, 1]), (1, 1, [1]),
    (7, 11, [7, 4, 2, 1]), (2, 9, [2, 1])])
def test_scales_that_would_not_pool_are_skipped(height, width, sizes):
    student, teacher = torch.randn(2, 3, height, width), torch.randn(2, 3, height, width)
    parts = MultiScaleTransform()(student, teacher)
    assert [s.shape[-2] for _, s, _ in parts] == sizes
    weights = [0.5**i for i in range(len(sizes))]
    assert [weight for weight, _, _ in parts] == [w / sum(weights) for w in weights]


@pytest.mark.parametrize('height,width', [(8, 8), (12, 8), (6, 6), (7, 11), (10, 4)])
def test_reused_pooling_is_pooling_of_the_full_map(height, width):
    student, teacher = torch.randn(2, 3, height, width), torch.randn(2, 3, height, width)
    for _, *pair in MultiScaleTransform()(student, teacher)[1:]:
        for pooled, full in zip(pair, (student, teacher)):
            torch.testing.assert_close(pooled, F.adaptive_avg_pool2d(full, pooled.shape[-1]))


def test_coarser_grids_are_pooled_from_finer_ones(monkeypatch):
    pooled_from = []
    real = F.adaptive_avg_pool2d

    def watch(feature, size):
        pooled_from.append((feature.shape[-1], size))
        return real(feature, size)

    monkeypatch.setattr(F, 'adaptive_avg_pool2d', watch)
    for side, expected in ((16, [(16, 4), (4, 2), (2, 1)]), (6, [(6, 4), (6, 2), (2, 1)])):
        pooled_from.clear()
        MultiScaleTransform()(torch.randn(1, 1, side, side), torch.randn(1, 1, side, side))
        assert pooled_from[::2] == expected


@pytest.mark.parametrize('grid', [1, 2, 3, 4])
def test_local_is_the_mean_over_patches(grid):
    for seed in range(20):
        student, teacher = ref.random_pair(seed, (1, 1, 4, 4), (3, 4, 11, 11))
        parts = LocalTransform(grid)(student, teacher)
        assert abs(sum(weight for weight, _, _ in parts) - 1) < 1e-9
        # The squared maximum of a patch: no mean over all could give it.
        loss = sum(weight * ((s - t).abs().amax((2, 3, 4)).square()).mean()
                   for weight, s, t in parts)
        expected = ref.local(lambda a, b: float((abs(a - b).max((1, 2, 3))**2).mean()),
                             *ref.arrays(student, teacher), grid)
        ref.assert_close(loss, expected)


def test_equal_patches_are_one_stack_in_reading_order():
    feature = torch.arange(16.).reshape(1, 1, 4, 4)
    (weight, patches, _), = LocalTransform(2)(feature, feature)
    assert weight == 1 and patches.shape == (4, 1, 1, 2, 2)
    assert patches[1].flatten().tolist() == [2, 3, 6, 7]


def test_crop_gives_one_stack():
    feature = torch.randn(2, 3, 7, 9)
    (weight, patches, _), = LocalTransform(4, crop=True)(feature, feature)
    assert weight == 1 and patches.shape == (16, 2, 3, 1, 2)
    assert torch.equal(patches[5], feature[:, :, 1:2, 2:4])


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match='patch_grid is 4, larger than the 2 x 8 map'):
        LocalTransform(4)(torch.randn(1, 1, 2, 8), torch.randn(1, 1, 2, 8))
    with pytest.raises(ValueError, match='LocalTransform.patch_grid must be a whole number'):
        LocalTransform(0)
    with pytest.raises(ValueError, match='MultiScaleTransform.sizes must be grid sizes'):
        MultiScaleTransform((1, 2, 4))


@pytest.mark.parametrize('sizes', [(), (1, 2, 4), (4, 4, 2), (2.5, 1), (2, 0), (2, -1), ('4', )])
def test_grids_go_from_fine_to_coarse(sizes):
    with pytest.raises(ValueError, match='MultiScaleTransform.sizes must be grid sizes'):
        MultiScaleTransform(sizes)


def test_sizes_are_its_own():
    sizes = [4, 2]
    transform = MultiScaleTransform(sizes)
    sizes.append(1)
    assert transform.sizes == (4, 2)

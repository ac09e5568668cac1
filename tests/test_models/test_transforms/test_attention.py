import references as ref
import torch

from autokd_mm.models.transforms import ChannelAttentionTransform, SpatialAttentionTransform
from autokd_mm.models.transforms.attention import spatial_attention


def test_spatial_attention_equals_the_equation():
    for seed in range(50):
        pair = ref.random_pair(seed)
        for result, feature in zip(SpatialAttentionTransform()(*pair), pair):
            expected = torch.from_numpy(ref.spatial_attention(*ref.arrays(feature))).float()
            torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


def test_channel_attention_equals_the_equation():
    for seed in range(50):
        pair = ref.random_pair(seed)
        for result, feature in zip(ChannelAttentionTransform()(*pair), pair):
            expected = torch.from_numpy(ref.channel_attention(*ref.arrays(feature))).float()
            torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


def test_gradcheck():
    student, _ = ref.random_pair(0, (2, 3, 2, 2), (3, 4, 3, 3), torch.float64)
    assert torch.autograd.gradcheck(spatial_attention, (student, ))


def test_the_map_has_unit_mean_square_at_any_scale():
    feature = torch.randn(3, 5, 4, 4)
    for scale in (1e-10, 1e-3, 1., 1e4):
        attention = spatial_attention(feature * scale)
        torch.testing.assert_close(attention.square().mean((1, 2, 3)), torch.ones(3))


def test_a_sample_without_activation():
    feature = torch.randn(3, 5, 4, 4)
    feature[1] = 0
    feature.requires_grad_()
    attention = spatial_attention(feature)
    gradient = ref.gradients(attention[:, 0, 0, 0].sum(), feature)
    assert not attention[1].any() and not gradient[1].any()
    assert gradient.isfinite().all() and gradient[0].any()


def test_blocks_do_not_show(monkeypatch):
    from autokd_mm.models.transforms import attention
    feature = torch.randn(5, 4, 3, 3)
    expected = spatial_attention(feature)
    monkeypatch.setattr(attention, 'block_size', lambda _: 1)
    torch.testing.assert_close(spatial_attention(feature), expected)

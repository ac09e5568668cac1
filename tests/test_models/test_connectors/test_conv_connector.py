import pytest
import torch
import torch.nn.functional as F

from autokd_mm.models.connectors import ConvConnector, IdentityConnector, resize
from autokd_mm.registry import MODELS


@pytest.mark.parametrize('kernel_size', [1, 3])
@pytest.mark.parametrize('norm', [False, True])
def test_shapes_and_bias(kernel_size, norm):
    connector = MODELS.build(dict(type='ConvConnector', in_channels=3, out_channels=5,
                                  kernel_size=kernel_size, norm=norm, _scope_='mmrazor'))
    assert connector(torch.randn(2, 3, 6, 4)).shape == (2, 5, 6, 4)
    assert (connector.conv.bias is None) == norm and (connector.norm is not None) == norm


def test_is_the_convolution_and_then_the_norm():
    connector = ConvConnector(3, 5, 3, norm=True)
    feature = torch.randn(4, 3, 6, 6)
    expected = F.batch_norm(F.conv2d(feature, connector.conv.weight, padding=1), None, None,
                            training=True)
    torch.testing.assert_close(connector(feature), expected)


@pytest.mark.parametrize('size,expected', [
    ((3, 3), lambda x: F.adaptive_avg_pool2d(x, (3, 3))),
    ((12, 12), lambda x: F.interpolate(x, (12, 12), mode='bilinear', align_corners=False)),
    ((3, 12), lambda x: F.interpolate(F.adaptive_avg_pool2d(x, (3, 6)), (3, 12),
                                      mode='bilinear', align_corners=False))])
def test_resize(size, expected):
    feature = torch.randn(2, 3, 6, 6)
    for result in (resize(feature, size), IdentityConnector(size)(feature)):
        torch.testing.assert_close(result, expected(feature))
    connector = ConvConnector(3, 4, size=list(size))
    torch.testing.assert_close(connector(feature), expected(connector.conv(feature)))


def test_nothing_is_done_to_a_map_of_the_right_size():
    feature = torch.randn(2, 3, 6, 6)
    assert resize(feature, (6, 6)) is feature and resize(feature, None) is feature
    assert IdentityConnector()(feature) is feature


def test_vectors():
    assert ConvConnector(3, 5)(torch.randn(2, 3)).shape == (2, 5, 1, 1)
    assert IdentityConnector()(torch.randn(2, 3)).shape == (2, 3, 1, 1)


def test_gradients_reach_the_student_and_the_weights():
    connector = ConvConnector(3, 5, norm=True, size=(3, 3))
    feature = torch.randn(2, 3, 6, 6, requires_grad=True)
    connector(feature).square().sum().backward()
    assert feature.grad.any() and all(p.grad is not None for p in connector.parameters())


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match='ConvConnector.in_channels is 3, but the feature has 4'):
        ConvConnector(3, 5)(torch.randn(2, 4, 2, 2))
    with pytest.raises(ValueError, match='ConvConnector.kernel_size must be 1 or 3, got 5'):
        ConvConnector(3, 5, 5)
    with pytest.raises(ValueError, match='ConvConnector.out_channels must be a number'):
        ConvConnector(3, 0)
    for size in (4, (4, ), (0, 4), '44'):
        with pytest.raises(ValueError, match='ConvConnector.size must be'):
            ConvConnector(3, 5, size=size)
    with pytest.raises(ValueError, match='IdentityConnector expects N x C x H x W'):
        IdentityConnector()(torch.randn(2, 3, 4))

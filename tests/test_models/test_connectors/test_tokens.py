"""Tokens of a transformer read as a map."""
import pytest
import torch
from mmpretrain.models.backbones import DistilledVisionTransformer, VisionTransformer

from autokd_mm.errors import ConfigError
from autokd_mm.models.connectors import ConvConnector, IdentityConnector
from autokd_mm.models.connectors.tokens import extra_tokens_of, tokens_to_map

TINY = dict(arch=dict(embed_dims=12, num_layers=2, num_heads=3, feedforward_channels=24),
            img_size=16, patch_size=4)


@pytest.mark.parametrize('kind, extra', [(VisionTransformer, 1), (DistilledVisionTransformer, 2)])
def test_is_the_transformers_own_map(kind, extra):
    torch.manual_seed(0)
    network = kind(out_type='featmap', final_norm=False, **TINY)
    network.eval()
    tokens = []
    network.layers[1].register_forward_hook(lambda module, args, out: tokens.append(out))
    (wanted, ) = network(torch.randn(2, 3, 16, 16))
    assert extra_tokens_of(network, 'layers.1') == extra
    found = tokens_to_map(tokens[0], extra, 'layers.1')
    assert torch.equal(found, wanted) and found.shape == (2, 12, 4, 4)
    assert torch.equal(IdentityConnector(extra_tokens=extra)(tokens[0]), wanted)
    connector = ConvConnector(12, 5, extra_tokens=extra, size=(2, 2))
    torch.testing.assert_close(
        connector(tokens[0]),
        torch.nn.functional.adaptive_avg_pool2d(connector.conv(wanted), 2))


def test_maps_and_vectors_stay_what_they_are():
    connector = IdentityConnector(extra_tokens=1)
    feature = torch.randn(2, 3, 4, 4)
    assert connector(feature) is feature
    assert connector(torch.randn(2, 3)).shape == (2, 3, 1, 1)


def test_innermost_module_knows_its_tokens():
    outer = torch.nn.Module()
    outer.num_extra_tokens, outer.plain = 3, torch.nn.Linear(1, 1)
    outer.inner = DistilledVisionTransformer(**TINY)
    assert extra_tokens_of(outer, 'plain') == 3
    assert extra_tokens_of(outer, 'inner.layers.0') == 2
    assert extra_tokens_of(torch.nn.Sequential(torch.nn.ReLU()), '0') is None


@pytest.mark.parametrize('tokens, extra', [(17, 0), (17, 2), (7, 1), (1, 1), (2, 3)])
def test_patches_must_be_a_square(tokens, extra):
    with pytest.raises(ConfigError, match='backbone.*no square grid'):
        tokens_to_map(torch.zeros(2, tokens, 4), extra, 'backbone.layers.0')


@pytest.mark.parametrize('extra', [-1, 1.0, True, '2'])
def test_number_of_tokens(extra):
    with pytest.raises(ConfigError, match='extra_tokens must be a number'):
        IdentityConnector(extra_tokens=extra)


def test_tokens_need_their_number():
    with pytest.raises(ConfigError, match='with extra_tokens also tokens'):
        ConvConnector(4, 4)(torch.zeros(2, 17, 4))

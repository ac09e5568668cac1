"""psa_mask of mmcv on the stand-in."""
import pytest
import torch
from mmcv.ops import PSAMask
from ops_in_turn import both, gradients


@pytest.mark.parametrize('psa_type', ['collect', 'distribute'])
def test_parity_psa_mask(compiled, generator, psa_type):
    for index in range(25):
        mask = torch.randint(1, 8, (2, ), generator=generator).tolist()
        size = torch.randint(1, 6, (2, ), generator=generator).tolist()
        maps = torch.randn(1 + index % 2, mask[0] * mask[1], *size, generator=generator)
        wanted, found = both(gradients, PSAMask(psa_type, tuple(mask)), maps)
        assert len(wanted) == 2
        for one, other in zip(found, wanted):
            assert torch.equal(one, other)


def test_one_place_reaches_all(stand_in):
    """The mask of place (0, 0) is centred on it: of 3 x 3, its corner speaks of (1, 1)."""
    maps = torch.zeros(1, 9, 2, 2)
    maps[0, :, 0, 0] = torch.arange(1., 10)
    found = PSAMask('collect', (3, 3))(maps)
    assert found[0, :, 0, 0].tolist() == [5, 6, 8, 9] and found.sum() == 28
    found = PSAMask('distribute', (3, 3))(maps)
    assert found[0, 0].tolist() == [[5, 6], [8, 9]] and found.sum() == 28


@pytest.mark.parametrize('psa_type', ['collect', 'distribute'])
def test_gradient(stand_in, generator, psa_type):
    maps = torch.randn(1, 15, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(PSAMask(psa_type, (3, 5)), (maps, ))

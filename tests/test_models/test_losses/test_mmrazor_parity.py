"""Our losses beside MMRazor's own: equal up to the factors that the docstrings state."""
import mmrazor.models  # noqa: F401 (registers its losses and connectors)
import pytest
import references as ref
import torch

from autokd_mm.models.losses import FeatureLoss, LogitsLoss
from autokd_mm.registry import MODELS


def build(type, **arguments):
    return MODELS.build(dict(type=type, _scope_='mmrazor', **arguments))


def positions(student):
    return student.shape[2] * student.shape[3]


def channel_values(student):
    return student.numel() // student.shape[1]


# name: (theirs, ours, factor by which theirs is larger, smallest shape)
PAIRS = {
    'L2Loss': (dict(type='L2Loss', normalize=False, div_element=True), dict(), lambda s: 1),
    'L2Loss-normalised': (dict(type='L2Loss'), dict(distance='cosine'), lambda s: 2),
    'ATLoss': (dict(type='ATLoss'), dict(transform='spatial_attention'),
               lambda s: 1 / positions(s)),
    'ChannelWiseDivergence': (dict(type='ChannelWiseDivergence', tau=4.),
                              dict(inter='channel', distance='kl', temperature=4.), lambda s: 1),
    'KLDivergence-maps': (dict(type='KLDivergence', tau=4.), dict(distance='kl', temperature=4.),
                          positions),
    'PKDLoss': (dict(type='PKDLoss'), dict(inter='channel', distance='pearson'),
                lambda s: (channel_values(s) - 1) / channel_values(s)),
    'DistanceWiseRKD': (dict(type='DistanceWiseRKD', loss_weight=1.),
                        dict(inter='sample', distance='rkd_distance'), lambda s: 1),
    'AngleWiseRKD': (dict(type='AngleWiseRKD', loss_weight=1.),
                     dict(inter='sample', distance='rkd_angle'), lambda s: 1),
}


def compare(theirs, ours, factor, student, teacher, tolerance):
    expected = theirs(student, teacher)
    actual = ours(student, teacher) * factor
    ref.assert_close(actual, float(expected.detach()), tolerance)
    expected, actual = (ref.gradients(loss, student) for loss in (expected, actual))
    assert (actual - expected).norm() <= tolerance * expected.norm() + 1e-12


@pytest.mark.parametrize('dtype,tolerance', [(torch.float64, 1e-5), (torch.float32, 1e-4)])
@pytest.mark.parametrize('name', PAIRS)
def test_feature_losses(name, dtype, tolerance):
    theirs, ours, factor = PAIRS[name]
    theirs, ours = build(**theirs), FeatureLoss(**ours)
    for seed in range(10):
        student, teacher = ref.random_pair(seed, (4, 3, 2, 2), (6, 8, 6, 6), dtype)
        compare(theirs, ours, factor(student), student, teacher, tolerance)


class Seeded:
    """A loss that draws the same mask at every call."""

    def __init__(self, loss):
        self.loss = loss

    def __call__(self, student, teacher):
        torch.manual_seed(0)
        return self.loss(student, teacher)


@pytest.mark.parametrize('ratio', [0.5, 0.65, 0.75])
def test_mgd(ratio):
    """MGDLoss of MGDConnector, with the same mask and the same generator."""
    for seed in range(5):
        student, teacher = ref.random_pair(seed, (2, 3, 3, 3))
        n, c, h, w = student.shape
        connector = build('MGDConnector', student_channels=c, teacher_channels=c,
                          lambda_mgd=ratio)
        ours = FeatureLoss(transform='random_mask', mask_ratio=ratio, channels=c)
        ours.transform.generation.load_state_dict(connector.generation.state_dict())
        theirs = build('MGDLoss', alpha_mgd=2e-5)

        compare(Seeded(lambda s, t, loss=theirs, connector=connector: loss(connector(s), t)),
                Seeded(ours), 2e-5 * c * h * w, student, teacher, 1e-4)


@pytest.mark.parametrize('tau', [1., 4., 8.])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_logits_losses(tau, dtype):
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        student, teacher = (torch.randn(8, 10, generator=generator, dtype=torch.float64).to(dtype)
                            for _ in range(2))
        student = (student * 3).requires_grad_()
        compare(build('KLDivergence', tau=tau), LogitsLoss('kl', tau), 1, student, teacher, 1e-4)
        # DISTLoss adds 1e-8 to the product of the norms, hence not 1e-5.
        compare(build('DISTLoss', tau=tau), LogitsLoss('pearson_both', tau), 1, student, teacher,
                1e-4)
        for ours, weights in (('pearson_inter', (1., 0.)), ('pearson_intra', (0., 1.))):
            theirs = build('DISTLoss', tau=tau, inter_loss_weight=weights[0],
                           intra_loss_weight=weights[1])
            compare(theirs, LogitsLoss(ours, tau), 1, student, teacher, 1e-4)

"""Which distances compare weighted positions: the rule of the space, held against the losses."""
import pytest
import torch

from autokd_mm.models.losses import FeatureLoss
from autokd_mm.models.losses.operations import DISTANCES, INTERS
from autokd_mm.space import rules


def replicated(feature, counts):
    """N x C x 1 x P, each position as often as its count says."""
    return torch.stack([sample.flatten(1).repeat_interleave(count, 1)[:, None]
                        for sample, count in zip(feature, counts)])


@pytest.mark.parametrize('inter, distance', [
    (inter, distance) for inter in INTERS for distance in DISTANCES
    if inter in DISTANCES[distance].inters and distance != 'local_correlation'])
def test_a_weight_is_a_position_that_comes_more_often(inter, distance):
    """The rule of the space: with whole weights, sqrt(W) F is compared as F with each position
    repeated W times, up to a constant. True of what is offered, and of nothing else."""
    generator = torch.Generator().manual_seed(0)
    ratios = []
    for _ in range(4):
        student, teacher = (torch.randn(5, 3, 2, 4, generator=generator, dtype=torch.float64)
                            for _ in range(2))
        counts = torch.stack([torch.tensor([1, 2, 3, 1, 4, 2, 1, 5])[
            torch.randperm(8, generator=generator)] for _ in range(5)])
        root = counts.view(5, 1, 2, 4).double().sqrt()
        loss = FeatureLoss(inter=inter, distance=distance)
        ratios.append(loss(student * root, teacher * root) /
                      loss(replicated(student, counts), replicated(teacher, counts)))
    same = max(ratios) - min(ratios) < 1e-9 * max(ratios)
    assert bool(same) == (rules.weights_fault(distance, inter) is None)

"""BCKD and LD as points of the space: the sum of their losses is that of the papers' code, divided
by the teacher's confidence."""
import dense_levels
import pytest
import torch
from torch.nn import functional as F

from autokd_mm.models.distillers import LayerPair, Layers, Predictions, distiller_config
from autokd_mm.models.distillers.predictions import named
from autokd_mm.models.losses.box_coding import BoxCoding
from autokd_mm.registry import MODELS
from autokd_mm.space.handcrafted import handcrafted

BINS = 17


def pairs(what, channels):
    return named(what, [LayerPair(what, f'bbox_head.{what}[{level}]', f'bbox_head.{what}[{level}]',
                                  (channels, *size), (channels, *size), 1.0, True, True)
                        for level, size in enumerate(dense_levels.LEVELS)])


HEADS = Predictions(pairs('classes', 3), 3, 1, False, pairs('boxes', 4 * BINS),
                    BoxCoding('distribution', bins=BINS))


def ours(name, found):
    """The sum of the losses of the distiller's config, each given what its mapping names."""
    config = distiller_config(handcrafted(name), Layers(pairs('feature', 8), predictions=HEADS))
    total = 0.0
    for loss, mapping in config['loss_forward_mappings'].items():
        module = MODELS.build(config['distill_losses'][loss])
        maps = {key: found[f'{"student" if record["from_student"] else "teacher"}_'
                           f'{record["recorder"]}'] for key, record in mapping.items()}
        total = total + module(**maps)
    return total


def flat(found, who, what, width):
    """All anchors x width, as the papers' code has them, level behind level."""
    return torch.cat([found[f'{who}_{what}_{level}'].permute(0, 2, 3, 1).reshape(-1, width)
                      for level in (0, 1)])


@pytest.fixture
def found():
    pytest.importorskip('mmdet')
    return dense_levels.maps(anchors=1, numbers=4 * BINS, dtype=torch.float32)


def test_bckd(found):
    """``NovelKDLoss`` with a weight of 1 and ``GIoULoss`` with one of 4."""
    from mmdet.models.dense_heads.gfl_head import Integral
    from mmdet.models.losses import GIoULoss
    from mmdet.structures.bbox import distance2bbox
    student, teacher = (flat(found, who, 'classes', 3) for who in ('student', 'teacher'))
    target = teacher.sigmoid()
    sure = float(target.amax(1).sum())
    apart = (target - student.sigmoid()).abs()
    classes = F.binary_cross_entropy_with_logits(student, target, reduction='none') * apart
    # Any point does for both.
    points = torch.rand(len(student), 2) * 100
    boxes = [distance2bbox(points, Integral(BINS - 1)(flat(found, who, 'boxes', 4 * BINS)
                                                      ).reshape(-1, 4))
             for who in ('student', 'teacher')]
    theirs = classes.sum() / sure + GIoULoss(loss_weight=4.0)(
        *boxes, weight=apart.amax(1), avg_factor=sure)
    torch.testing.assert_close(ours('BCKD', found), theirs, rtol=1e-4, atol=1e-5)


def test_ld(found):
    """``KnowledgeDistillationKLDivLoss`` with the weight and the temperature of its configs."""
    from mmdet.models.losses import KnowledgeDistillationKLDivLoss
    sure = flat(found, 'teacher', 'classes', 3).sigmoid().amax(1)
    theirs = KnowledgeDistillationKLDivLoss(loss_weight=0.25, T=10)(
        flat(found, 'student', 'boxes', 4 * BINS).reshape(-1, BINS),
        flat(found, 'teacher', 'boxes', 4 * BINS).reshape(-1, BINS),
        weight=sure[:, None].expand(-1, 4).reshape(-1), avg_factor=4 * float(sure.sum()))
    torch.testing.assert_close(ours('LD', found), theirs)

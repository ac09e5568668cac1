"""Centerness and objectness: against the formula anchor by anchor."""
import dense_levels
import pytest
import torch

from autokd_mm.errors import ConfigError
from autokd_mm.models.losses import QualityLoss
from autokd_mm.registry import MODELS


@pytest.mark.parametrize('padded', (False, True))
@pytest.mark.parametrize('objectness', (False, True))
def test_the_formula_anchor_by_anchor(objectness, padded):
    found = dense_levels.maps()
    total, count = 0.0, 0.0
    for student, teacher, key in dense_levels.anchors_of(found, 1, 'quality', padded):
        s, t = student.sigmoid()[0], teacher.sigmoid()[0]
        each = -(t * s.log() + (1 - t) * (1 - s).log())
        sure = dense_levels.at(found, 'teacher', 'classes', 3, key).sigmoid().max()
        total = total + (each if objectness else each * sure)
        count = count + (t if objectness else sure)
    loss = QualityLoss(3, objectness, loss_weight=2)
    loss.show_sizes(dense_levels.SIZES if padded else None)
    torch.testing.assert_close(loss(**found), 2 * total / count)


def test_exclusive_classes_have_a_background():
    found = {name: torch.zeros_like(tensor) for name, tensor in dense_levels.maps().items()}
    for level in (0, 1):  # sure of the background
        found[f'teacher_classes_{level}'][:, 2::3] = 40
    assert float(QualityLoss(3, exclusive=True)(**found)) < 1e-6 < float(QualityLoss(3)(**found))


def test_it_is_in_the_registry_and_its_weight_a_number():
    loss = MODELS.build(dict(type='mmrazor.QualityLoss', classes=3, objectness=True))
    assert 'objectness=True' in repr(loss)
    with pytest.raises(ConfigError, match='QualityLoss.loss_weight'):
        QualityLoss(3, loss_weight='1')

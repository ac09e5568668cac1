"""Candidates that begin with a part of the teacher."""
import copy
from dataclasses import replace

import pytest
import torch
from search_parts import banks, parts, scope  # noqa: F401

from autokd_mm.errors import CandidateFailed
from autokd_mm.models.algorithms.inherited import parts_of
from autokd_mm.proxy.stepping import Stepper
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import handcrafted

ALONE = DistillerSpec('logits_only', start='classifier')


@pytest.fixture
def other(parts):  # noqa: F811
    """A teacher as wide as the student."""
    torch.manual_seed(2)
    teacher = MODELS.build(copy.deepcopy(parts.config.model.architecture))
    teacher.init_weights()
    return teacher.requires_grad_(False)


@pytest.fixture
def trainer(parts, banks, other):  # noqa: F811
    plain = parts.trainer(banks)
    return ProxyTrainer(plain.builder.fresh_student, plain.layers, banks['train'],
                        banks['held_out'], plain.settings, plain.optim_wrapper, plain.curve,
                        torch.device('cpu'), parts=parts_of(parts.student, other,
                                                            ('classifier', )), teacher=other)


def same(one, two):
    two = two.state_dict()
    return all(torch.equal(value, two[name]) for name, value in one.state_dict().items())


def test_a_candidate_begins_with_the_teachers_classifier(trainer, other, parts):  # noqa: F811
    student = parts.student
    candidate = trainer.builder.build(ALONE, student)
    assert same(candidate.student.head, other.head) and not same(student.head, other.head)
    assert same(candidate.student.backbone, student.backbone)
    for spec in (None, handcrafted('KD')):
        assert same(trainer.builder.build(spec, student).student, student)


def test_the_undistilled_student_is_what_it_is_without_parts(trainer, parts, banks):  # noqa: F811
    assert trainer.run(None).to_dict().keys()
    one, two = (runs.run(None) for runs in (trainer, parts.trainer(banks)))
    assert one.held_out_loss == two.held_out_loss and one.gap == two.gap
    assert trainer.run(ALONE).held_out_loss != one.held_out_loss


@pytest.mark.parametrize('rate', [1, 0.1, 0])
def test_how_fast_it_learns(trainer, other, rate):
    seen = []
    spec = DistillerSpec('logits_only', start='classifier', start_lr=rate)
    trainer.run(spec, keep=seen.append)
    head = seen[0].student.head
    assert same(head, other.head) == (rate == 0)
    stepper = Stepper(seen[0], trainer.optim_wrapper, [1.0], 3, None, trainer.ranks)
    found = {id(parameter): group['lr'] for group in stepper.optim.param_groups
             for parameter in group['params']}
    full = trainer.optim_wrapper.optimizer.lr
    assert found[id(seen[0].student.backbone.conv1.weight)] == full
    assert found.get(id(head.fc.weight), full) == pytest.approx(full * (rate or 1))
    # A step takes as long as any: one group for each rate, not one for each parameter.
    trained = [p for p in seen[0].parameters() if p.requires_grad]
    groups = [[p for p in group['params'] if any(p is own for own in trained)]
              for group in stepper.optim.param_groups]
    assert sum(map(len, groups)) == len(trained) and sum(map(bool, groups)) == 1 + (rate == 0.1)


def test_simkd_is_the_distance_of_features_and_the_teachers_classifier(
        trainer, other, parts):  # noqa: F811
    """Chen et al. 2022, eq. 3, and the cross-entropy behind the frozen classifier."""
    layers = replace(trainer.layers, pairs=tuple(
        replace(pair, teacher_shape=pair.student_shape) for pair in trainer.layers.pairs))
    trainer.builder.layers = layers
    candidate = trainer.builder.build(handcrafted('SimKD-direct'), parts.student).train()
    inputs, samples, _ = trainer.training_batch(candidate, next(trainer.batches(0))[0])
    (name, ), = [list(candidate.distiller.teacher_recorders.recorders)]
    theirs = other.backbone(inputs)[0]
    own, distilled = candidate.losses(inputs, samples, {name: theirs})
    ours = copy.deepcopy(parts.student).train().backbone(inputs)[0]
    logits = torch.nn.functional.linear(ours.mean((2, 3)), other.head.fc.weight, other.head.fc.bias)
    labels = torch.cat([sample.gt_label for sample in samples])
    torch.testing.assert_close(own, torch.nn.functional.cross_entropy(logits, labels))
    torch.testing.assert_close(distilled, (theirs - ours).square().mean())
    assert not any(parameter.requires_grad for parameter in candidate.student.head.parameters())


def test_a_part_that_does_not_fit_is_a_failure_with_a_reason(trainer):
    with pytest.raises(CandidateFailed, match='start=head: no such part of the teacher fits'):
        trainer.run(DistillerSpec('logits_only', start='head'))

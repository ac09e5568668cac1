"""The measured terms are those of the whole held-out set, whatever the batches."""
from dataclasses import replace

import numpy as np
import pytest
import torch

from autokd_mm.layers.capture import capture
from autokd_mm.measure import terms as measures
from autokd_mm.measure.evaluation import evaluate, feature_terms, task_terms
from autokd_mm.search.reward import MEASURED


def test_terms_do_not_depend_on_the_batches(parts, banks):
    trainer = parts.trainer(banks)
    found = []
    for size in (7, 32):
        trainer = parts.trainer(banks, batch_size=size)
        found.append(evaluate(parts.student, trainer.held_out.batches(parts.student),
                              parts.layers, trainer.held_out.teacher, trainer.held_out.labels))
    assert set(found[0]) == set(MEASURED)
    for name in MEASURED:
        assert found[0][name] == pytest.approx(found[1][name], abs=1e-5, nan_ok=True)
    assert np.isnan(found[0]['mse_gap'])  # 16 and 32 channels


def test_loss_and_accuracy(parts, banks):
    trainer = parts.trainer(banks)
    inputs = torch.cat([inputs for inputs, _ in trainer.held_out.batches(parts.student)])
    with torch.no_grad():
        logits = parts.student.eval()(inputs, mode='tensor')
    loss = float(torch.nn.functional.cross_entropy(logits, trainer.held_out.labels))
    terms = trainer.measure(parts.student)
    assert terms['held_out_loss'] == pytest.approx(loss, rel=1e-5)
    assert terms['metric'] == float((logits.argmax(1) == trainer.held_out.labels).float().mean())
    assert terms == {**terms, **task_terms(terms['held_out_loss'], logits, trainer.held_out.labels)}


def test_without_logits():
    terms = task_terms(2.0, None, torch.zeros(3).long())
    assert terms['held_out_loss'] == terms['calibrated_loss'] == 2 and np.isnan(terms['metric'])


def test_a_student_without_layers_of_logits(parts, banks):
    held_out = parts.trainer(banks).held_out
    terms = evaluate(parts.student, held_out.batches(parts.student),
                     replace(parts.layers, logits=(), scores=None), held_out.teacher,
                     held_out.labels)
    assert terms['calibrated_loss'] == terms['held_out_loss'] and np.isnan(terms['metric'])
    assert terms['gap'] == pytest.approx(parts.trainer(banks).measure(parts.student)['gap'])


def test_each_gap_is_its_measure():
    s, t = torch.randn(20, 4, 2, 2), torch.randn(20, 4, 2, 2)
    terms = feature_terms(s, t)
    for name, function in (('gap', measures.linear_cka_gap), ('mse_gap', measures.mse_gap),
                           ('debiased_gap', measures.debiased_cka_gap),
                           ('linear_gap', measures.linear_gap),
                           ('relation_gap', measures.relation_gap)):
        assert terms.pop(name) == function(s, t)
    assert not terms


def test_gaps_are_computed_in_full_precision(parts, banks):
    """The student's forward pass may be rounded, what is made of it may not."""
    trainer = parts.trainer(banks, precision='bfloat16')
    with capture(parts.student.eval(), dict(feature=parts.layers.pairs[0].student)) as outputs:
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            features = [outputs['feature'].float()
                        for inputs, _ in trainer.held_out.batches(parts.student)
                        if parts.student(inputs, mode='tensor') is not None]
    expected = feature_terms(torch.cat(features), trainer.held_out.teacher['feature'])
    terms = trainer.measure(parts.student)
    for name in ('gap', 'debiased_gap', 'linear_gap', 'relation_gap'):
        assert terms[name] == pytest.approx(expected[name], abs=1e-6)

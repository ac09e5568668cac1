"""One candidate: always the same start, nothing left behind, failures in one line."""
import numpy as np
import pytest
import torch

from autokd_mm.engine.proxy_trainer import CandidateFailed, ProxyTrainer, total_loss
from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import HANDCRAFTED, handcrafted

MGD = handcrafted('MGD', same_shape=False)  # a connector, a generator, random masks
NAMES = ('held_out_loss', 'calibrated_loss', 'gap', 'metric')


def numbers(outcome):
    return [getattr(outcome, name) for name in NAMES]


@pytest.fixture
def trainer(parts, banks):
    return parts.trainer(banks)


@pytest.mark.parametrize('spec', [None, MGD, handcrafted('DIST', False)],
                         ids=['baseline', 'mgd', 'dist'])
def test_bit_identical_whatever_ran_before(parts, banks, trainer, spec):
    first = trainer.run(spec)
    trainer.run(handcrafted('SP', False))
    torch.rand(17), np.random.rand(3)
    assert numbers(trainer.run(spec)) == numbers(first)
    assert numbers(parts.trainer(banks).run(spec)) == numbers(first)
    assert numbers(parts.trainer(banks, seed=1).run(spec)) != numbers(first)


def test_every_candidate_starts_from_the_same_weights_on_the_same_batches(trainer, monkeypatch):
    seen = []
    run = ProxyTrainer._loss

    def loss(self, candidate, inputs, samples, teacher):
        if not seen or seen[-1][0] is not candidate:
            weights = torch.cat([p.detach().flatten() for p in candidate.student.parameters()])
            seen.append((candidate, weights.clone(), []))
        seen[-1][2].append((inputs.clone(), [int(sample.gt_label) for sample in samples]))
        return run(self, candidate, inputs, samples, teacher)

    monkeypatch.setattr(ProxyTrainer, '_loss', loss)
    for spec in (None, MGD, handcrafted('KD')):
        trainer.run(spec)
    weights, batches = seen[0][1:]
    assert torch.equal(weights, torch.cat([p.flatten() for p in trainer.student.parameters()]))
    assert len(batches) == 4
    for _, other, others in seen[1:]:
        assert torch.equal(weights, other)
        assert all(torch.equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(batches, others))


def test_the_student_and_the_global_generators_are_not_touched(trainer):
    before = {name: value.clone() for name, value in trainer.student.state_dict().items()}
    state = torch.get_rng_state()
    trainer.run(MGD)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name])
               for name, value in trainer.student.state_dict().items())
    assert not any(module._forward_hooks for module in trainer.student.modules())


def test_batches_walk_through_images_and_views(trainer):
    batches = list(trainer._batches())
    assert [len(batch) for batch in batches] == [32] * 4
    assert sorted(np.concatenate(batches[:2])) == list(range(64))
    assert sorted(np.concatenate(batches[2:])) == list(range(64, 128))


def test_distillation_is_the_loss_of_the_online_algorithm(parts, banks, trainer):
    """The first step's loss equals that of FrozenTeacherDistill with the teacher running."""
    from autokd_mm.models.distillers import distiller_config
    from autokd_mm.registry import MODELS
    spec = HANDCRAFTED['DIST']
    config = dict(parts.config.model, distiller=distiller_config(spec, parts.layers))
    online = MODELS.build(config)
    online.architecture.load_state_dict(trainer.student.state_dict())
    online.train()
    rows = next(iter(trainer._batches()))
    candidate = trainer._build(spec)
    candidate.train()
    inputs = trainer._inputs(banks['train'], rows, candidate.student, training=True)
    samples = [trainer.samples[banks['train'].path][row] for row in rows]
    teacher = {name: trainer._tensor(banks['train'], name, rows)
               for name in ('feature', 'logits')}
    ours = trainer._loss(candidate, inputs, samples, teacher)
    assert float(ours) == pytest.approx(float(total_loss(online.loss(inputs, samples))), rel=1e-5)


@pytest.mark.parametrize('name', sorted(HANDCRAFTED))
def test_every_handcrafted_method_trains(trainer, name):
    spec = handcrafted(name, same_shape=False)
    if spec.patch_grid == 4:
        spec = DistillerSpec.from_dict(dict(spec.to_dict(), patch_grid=2))
    outcome = trainer.run(spec)
    assert np.isfinite(numbers(outcome)).all() and outcome.seconds > 0
    assert 0 <= outcome.metric <= 1 and 0 <= outcome.gap <= 1


def test_curve_is_followed(trainer, monkeypatch):
    trainer.curve, rates = [1.0, 0.5, 0.25, 0.0], []
    from mmengine.optim import OptimWrapper
    update = OptimWrapper.update_params

    def note(self, loss, *args, **kwargs):
        rates.append(self.get_lr()['lr'][0])
        return update(self, loss, *args, **kwargs)

    monkeypatch.setattr(OptimWrapper, 'update_params', note)
    trainer.run(None)
    lr = trainer.optim_wrapper.optimizer.lr
    assert rates == pytest.approx([lr, lr / 2, lr / 4, 0])


def test_absurd_learning_rate_is_a_failure_with_a_reason(parts, banks):
    trainer = parts.trainer(banks, optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e25)))
    with pytest.raises(CandidateFailed, match='the loss is (nan|inf) at'):
        trainer.run(handcrafted('KD'))


@pytest.mark.parametrize('error', [
    RuntimeError('CUDA out of memory\nsecond line'), MemoryError(), IndexError('Dimension out'),
    ValueError('shapes'), ZeroDivisionError('x'), AssertionError()])
def test_reason_is_one_line(trainer, monkeypatch, error):

    def fail(*args):
        raise error

    monkeypatch.setattr(trainer, '_loss', fail)
    with pytest.raises(CandidateFailed) as failed:
        trainer.run(handcrafted('KD'))
    assert str(failed.value).startswith(f'{type(error).__name__}: ')
    assert '\n' not in str(failed.value)


@pytest.mark.parametrize('error', [KeyboardInterrupt(), OSError(28, 'full'), TypeError('bug')])
def test_what_is_not_the_candidates_fault_passes(trainer, monkeypatch, error):

    def fail(*args):
        raise error

    monkeypatch.setattr(trainer, '_loss', fail)
    with pytest.raises(type(error)):
        trainer.run(handcrafted('KD'))


def test_overwritten_record_is_a_failure(parts, banks, trainer, monkeypatch):
    layer = trainer.student.backbone.layer3
    forward = type(layer).forward
    monkeypatch.setattr(trainer.student.neck.__class__, 'forward',
                        lambda self, x: (x[-1].add_(1).mean((2, 3)), ))
    assert forward is type(layer).forward
    with pytest.raises(CandidateFailed, match="'backbone.layer3'.*overwritten in place"):
        trainer.run(handcrafted('FitNet', False))


def test_total_loss_sums_what_is_called_loss():
    losses = {'loss': torch.tensor([1., 3.]), 'distill.loss_kd': torch.tensor(5.),
              'loss_list': [torch.tensor(1.), torch.tensor([2., 4.])], 'acc': torch.tensor(9.)}
    assert float(total_loss(losses)) == 2 + 5 + 1 + 3


def test_clock(trainer):
    trainer.run(None)
    assert 0 < trainer.clock.model <= trainer.clock.total

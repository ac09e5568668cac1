"""One candidate: always the same start, nothing left behind, failures in one line."""
import numpy as np
import pytest
import torch

from autokd_mm.errors import CandidateFailed
from autokd_mm.measure.losses import total_loss
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import HANDCRAFTED, handcrafted

MGD = handcrafted('MGD', same_shape=False)  # a connector, a generator, random masks
NAMES = ('held_out_loss', 'calibrated_loss', 'gap', 'metric', 'debiased_gap', 'linear_gap',
         'relation_gap')


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


def test_every_candidate_starts_from_the_same_weights_on_the_same_batches(
        parts, trainer, monkeypatch):
    seen = []
    run = Candidate.losses

    def losses(self, inputs, samples, teacher):
        if not seen or seen[-1][0] is not self:
            weights = torch.cat([p.detach().flatten() for p in self.student.parameters()])
            seen.append((self, weights.clone(), []))
        seen[-1][2].append((inputs.clone(), [int(sample.gt_label) for sample in samples]))
        return run(self, inputs, samples, teacher)

    monkeypatch.setattr(Candidate, 'losses', losses)
    for spec in (None, MGD, handcrafted('KD')):
        trainer.run(spec)
    weights, batches = seen[0][1:]
    assert torch.equal(weights, torch.cat([p.flatten() for p in parts.student.parameters()]))
    assert len(batches) == 4
    for _, other, others in seen[1:]:
        assert torch.equal(weights, other)
        assert all(torch.equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(batches, others))


def test_the_student_and_the_global_generators_are_not_touched(parts, trainer):
    before = {name: value.clone() for name, value in parts.student.state_dict().items()}
    state = torch.get_rng_state()
    trainer.run(MGD)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name])
               for name, value in parts.student.state_dict().items())
    assert not any(module._forward_hooks for module in parts.student.modules())


def test_batches_walk_through_images_and_views(trainer):
    batches = sum(trainer.batches(seed=0), [])
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
    online.architecture.load_state_dict(parts.student.state_dict())
    online.train()
    rows = next(trainer.batches(seed=0))[0]
    candidate = trainer.builder.build(spec, parts.student)
    candidate.train()
    inputs, samples, teacher = trainer.training_batch(candidate, rows)
    ours = sum(candidate.losses(inputs, samples, teacher))
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

    monkeypatch.setattr(Candidate, 'losses', fail)
    with pytest.raises(CandidateFailed) as failed:
        trainer.run(handcrafted('KD'))
    assert str(failed.value).startswith(f'{type(error).__name__}: ')
    assert '\n' not in str(failed.value)


@pytest.mark.parametrize('error', [KeyboardInterrupt(), OSError(28, 'full'), TypeError('bug')])
def test_what_is_not_the_candidates_fault_passes(trainer, monkeypatch, error):

    def fail(*args):
        raise error

    monkeypatch.setattr(Candidate, 'losses', fail)
    with pytest.raises(type(error)):
        trainer.run(handcrafted('KD'))


def test_overwritten_record_is_a_failure(parts, banks, trainer, monkeypatch):
    layer = parts.student.backbone.layer3
    forward = type(layer).forward
    monkeypatch.setattr(parts.student.neck.__class__, 'forward',
                        lambda self, x: (x[-1].add_(1).mean((2, 3)), ))
    assert forward is type(layer).forward
    with pytest.raises(CandidateFailed, match="'backbone.layer3'.*overwritten in place"):
        trainer.run(handcrafted('FitNet', False))


def test_total_loss_sums_what_is_called_loss():
    losses = {'loss': torch.tensor([1., 3.]), 'distill.loss_kd': torch.tensor(5.),
              'loss_list': [torch.tensor(1.), torch.tensor([2., 4.])], 'acc': torch.tensor(9.)}
    assert float(total_loss(losses)) == 2 + 5 + 1 + 3


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float64])
def test_no_losses_change_nothing(dtype):
    loss, nothing = torch.tensor(3.1, dtype=dtype, requires_grad=True), total_loss({})
    assert not nothing.requires_grad and torch.equal(loss + nothing, loss)
    assert (loss + nothing).dtype == dtype


def test_clock(trainer):
    trainer.run(None)
    assert 0 < trainer.clock.model <= trainer.clock.total


def test_watching_changes_nothing_and_gives_the_curve(trainer):
    seen = []
    watched = trainer.run(MGD, watch=lambda epoch, outcome: seen.append((epoch, outcome)))
    plain = trainer.run(MGD)
    assert numbers(watched) == numbers(plain) and plain.curve == ()
    assert [epoch for epoch, _ in seen] == [0] and len(watched.curve) == 2
    assert seen[0][1].gap == watched.curve[0]['gap'] != watched.curve[1]['gap'] == watched.gap
    assert numbers(watched.at(0)) == numbers(seen[0][1])


def test_what_a_watcher_raises_ends_the_run(trainer):
    class Enough(Exception):
        pass

    def watch(epoch, outcome):
        raise Enough

    with pytest.raises(Enough):
        trainer.run(MGD, watch=watch)
    assert numbers(trainer.run(None)) == numbers(trainer.run(None))


def test_seeds_have_students_and_batches_of_their_own(parts, banks):
    from autokd_mm.registry import MODELS

    def fresh(seed):
        torch.manual_seed(seed)
        student = MODELS.build(parts.config.model.architecture)
        student.init_weights()
        return student

    trainer = parts.trainer(banks, fresh=fresh)
    first = trainer.run(MGD, seed=3)
    assert numbers(trainer.run(MGD, seed=3)) == numbers(first) != numbers(trainer.run(MGD, seed=4))
    assert list(map(len, trainer.batches(0, length=3))) == [2] * 6
    assert trainer.run(None, length=3, watch=lambda *args: None).curve[5]['gap'] >= 0


@pytest.mark.parametrize('settings', [
    dict(precision='bfloat16'), dict(channels_last=True),
    dict(sparse=dict(density=0.3, death_rate=0.5, interval=1))])
def test_other_ways_to_train(parts, banks, trainer, settings):
    own = parts.trainer(banks, **settings)
    first = own.run(handcrafted('DIST', False))
    assert np.isfinite(numbers(first)).all()
    assert numbers(own.run(handcrafted('DIST', False))) == numbers(first)
    if 'channels_last' not in settings:  # the same sums in another order at most
        assert numbers(first) != numbers(trainer.run(handcrafted('DIST', False)))


def test_sparse_student_stays_sparse(parts, banks):
    trainer = parts.trainer(banks, sparse=dict(density=0.3, death_rate=0.5, interval=1))
    student = trainer.train(MGD)
    weights = [m.weight for m in student.modules() if isinstance(m, torch.nn.Conv2d)]
    there = sum(int((w != 0).sum()) for w in weights) / sum(w.numel() for w in weights)
    assert 0.05 < there < 0.45


def test_first_step(parts, banks, trainer):
    """Against plain autograd on the same first batch."""
    steps = trainer.first_step(MGD, batches=2)
    assert len(steps) == 2 and steps[0] != steps[1] and steps == trainer.first_step(MGD, batches=2)
    spec = handcrafted('FitNet', False)
    step = trainer.first_step(spec, batches=1)[0]
    torch.manual_seed(0)
    from autokd_mm.seeding import derive, seeded
    with seeded(0, 1):
        torch.manual_seed(derive(0, 2))
        candidate = trainer.builder.build(spec, parts.student).train()
        own, distilled = candidate.losses(
            *trainer.training_batch(candidate, next(trainer.batches(0))[0]))
    for loss, value, norm in ((own, step.task_loss, step.task_gradient_norm),
                              (distilled, step.distill_loss, step.distill_gradient_norm)):
        candidate.zero_grad()
        loss.backward(retain_graph=True)
        squares = sum(p.grad.square().sum() for p in candidate.student.parameters()
                      if p.grad is not None)
        assert value == pytest.approx(float(loss.detach()), rel=1e-5)
        assert norm == pytest.approx(float(squares.sqrt()), rel=1e-4)
    assert step.depends_on_student


def test_first_step_of_a_loss_that_does_not_know_the_student(trainer, monkeypatch):
    losses = Candidate.losses
    monkeypatch.setattr(Candidate, 'losses',
                        lambda self, *args: (losses(self, *args)[0], torch.tensor(3.0)))
    step = trainer.first_step(handcrafted('KD'), batches=1)[0]
    assert (step.distill_loss, step.distill_gradient_norm) == (3.0, 0.0)
    assert not step.depends_on_student and step.task_gradient_norm > 0


def test_gradient_accumulation(parts, banks, monkeypatch):
    """One step of the optimiser for two batches, with the mean of their gradients."""
    stepped = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, 'step',
                        lambda self, *args: stepped.append(1) or step(self, *args))
    wrapper = dict(parts.config.optim_wrapper, accumulative_counts=2)
    outcome = parts.trainer(banks, optim_wrapper=wrapper).run(handcrafted('DIST', False))
    assert len(stepped) == 2 and np.isfinite(numbers(outcome)).all()

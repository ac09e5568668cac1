"""Studies as searches leave them: trials of the real space with made-up rewards."""
import random

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from autokd_mm.search import MCTSSampler
from autokd_mm.space import DistillerSpace, Shapes
from autokd_mm.study import study as studies
from autokd_mm.study.about import add_spent, set_about
from autokd_mm.study.study import open_study

EPOCHS = 8
SPACE = DistillerSpace(dict(connector=('conv1x1', 'conv3x3'), inter=('none', 'sample')),
                       Shapes(channels=16, height=4, width=4, classes=10, same=False))
ABOUT = dict(
    final=dict(reward=dict(metric=.5, gap=.5), seeds=2, handcrafted=[]),
    full=dict(samples=40000, words='30 epochs'), samples=5120,
    layers=[dict(name='feature', student='backbone.layer3', teacher='backbone.layer3',
                 student_shape=[16, 2, 2], teacher_shape=[128, 2, 2])],
    differences=['length: 8 epochs'], sampler='MCTSSampler', config='digits.py',
    packages=dict(torch='2.11.0'), machine='Linux, 2 cores, no GPU')
BASELINE = dict(held_out_loss=1., calibrated_loss=1., gap=.5, metric=.7, seconds=2.)


class Asked:
    """Answers by chance and keeps what it was asked."""

    def __init__(self, rng):
        self.rng, self.params, self.distributions = rng, {}, {}

    def suggest_categorical(self, name, choices):
        self.params[name] = self.rng.choice(list(choices))
        self.distributions[name] = CategoricalDistribution(choices)
        return self.params[name]


def reward_of(spec, rng):
    """Additive: kl between logits is good, a weight of 5 is not."""
    return .1 * (spec.logits == 'kl') - .2 * (spec.logits_weight == 5) \
        + .05 * (spec.transform == 'random_mask') + rng.gauss(0, .03)


def outcome(reward, seconds=3., **more):
    return dict(held_out_loss=1 - reward, calibrated_loss=1 - reward, gap=.5 - .5 * reward,
                metric=.7 + .7 * reward, seconds=seconds, **more)


def trial_of(rng, number, **more):
    """A trial of some state: three in four complete, one in twenty rejected."""
    asked = Asked(rng)
    spec = SPACE.suggest(asked)
    reward, kind = reward_of(spec, rng), rng.random()
    args = dict(params=asked.params, distributions=asked.distributions)
    attrs = dict(spec=spec.to_dict(), **more)
    if kind < .05:
        return create_trial(state=TrialState.PRUNED, user_attrs=dict(
            attrs, rejected=True, reason='no gradient'), **args)
    if kind < .25:
        return create_trial(state=TrialState.PRUNED, intermediate_values={4: reward - .2},
                            user_attrs=dict(attrs, outcome=outcome(reward, 1.5),
                                            reason='reward behind epoch 4 of 8'), **args)
    return create_trial(state=TrialState.COMPLETE, value=reward,
                        intermediate_values={4: reward / 2},
                        user_attrs=dict(attrs, outcome=outcome(reward)), **args)


def make_search(work_dir, trials=40, final=True, about=ABOUT, storage=None):
    """A finished search without its banks; returns its study and that of the final round.

    Args:
        storage: None: a journal in the work dir.
    """
    rng = random.Random(0)
    description = dict(space={}, proxy=dict(images=640, held_out=360, epochs=EPOCHS),
                       reward=dict(metric=1.), layers=dict(student='backbone.layer3'))
    if storage is None:
        study = open_study(str(work_dir), MCTSSampler(seed=0), description)
    else:
        study = optuna.create_study(storage=storage, direction='maximize')
        study.set_user_attr('search', description)
    studies.set_baseline(study, BASELINE)
    studies.set_plan(study, trials, 0, 16)
    study.set_user_attr('teacher_metrics', {'accuracy/top1': 98.5})
    if about:
        set_about(study, about)
        add_spent(study, dict(teacher=20., bank=3.))
    study.add_trials([trial_of(rng, number) for number in range(trials)])
    if not final:
        return study, None
    last = optuna.create_study(storage=study._storage, study_name='autokd_mm_final')
    best = sorted((trial for trial in study.get_trials() if trial.value is not None),
                  key=lambda trial: -trial.value)[:3]
    for number in [-1, *(trial.number for trial in best)]:
        for run in (1, 2):
            second = number in [trial.number for trial in best[1:2]]
            gain = 0 if number < 0 else .1 + .02 * run + .05 * second
            last.add_trial(create_trial(state=TrialState.COMPLETE, value=1 - gain, user_attrs=dict(
                candidate=number, seed=run, length=4, outcome=outcome(gain, 8.))))
    (work_dir / 'best_distiller.py').write_text('# found\n')
    return study, last

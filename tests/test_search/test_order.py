"""Independent questions that each trial asks in an order of its own."""
import random
import warnings

import optuna
import pytest
from toy_space import POLICIES, new_study

from autokd_mm.errors import AutoKDWarning
from autokd_mm.search.order import Order

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Shuffled:
    """Asks its questions in another order in each trial; with ``more`` another one behind an
    answer, at any later place."""

    def __init__(self, names='abcd', seed=0, more=False, numbers=False):
        self.names, self.seed, self.more, self.numbers = names, seed, more, numbers

    def __call__(self, trial):
        rng, left, value = random.Random(f'{self.seed}/{trial.number}'), list(self.names), 0.0
        if self.numbers:
            left.append('n')
        while left:
            name = left.pop(rng.randrange(len(left)))
            if name == 'n':
                value += trial.suggest_int('n', 1, 3)
                continue
            answer = trial.suggest_categorical(name, (0, 1))
            value += (ord(name) - 96) * answer
            if self.more and name == 'a' and answer:
                left.append('z')
        return value


def answer_sets(trials):
    return [frozenset(trial.params.items()) for trial in trials]


@POLICIES
@pytest.mark.parametrize('args, count', [
    (dict(), 16), (dict(more=True), 24), (dict(names='ab', numbers=True), 12)])
def test_no_answers_are_repeated_while_new_ones_remain(policy, args, count):
    for seed in range(3):
        study = new_study(seed=seed, **policy)
        with warnings.catch_warnings():
            warnings.simplefilter('error', AutoKDWarning)
            study.optimize(Shuffled(seed=seed, **args), n_trials=count)
        assert len(set(answer_sets(study.trials))) == count
        with pytest.warns(AutoKDWarning, match='has been tried'):
            study.optimize(Shuffled(seed=seed, **args), n_trials=count)
        assert len(set(answer_sets(study.trials))) == count


def test_contexts_do_not_multiply():
    """The tree, what is expected to come, and the model are those of questions in one order."""
    studies = []
    for objective in (Shuffled(), lambda trial: float(sum(
            trial.suggest_categorical(name, (0, 1)) for name in 'abcd'))):
        study = new_study(seed=0)
        study.optimize(objective, n_trials=16)
        view = study.sampler.view(study)
        view.sync(study.get_trials(deepcopy=False))
        model = view.tree.model
        studies.append((sum(1 for _ in view.tree.rows()), len(model.grammar.table().places),
                        len(model)))
    assert studies[0] == studies[1] == (31, 7, 9)


def test_the_effects_are_found():
    study = new_study(seed=0)
    study.optimize(Shuffled('abcdefghij'), n_trials=40)
    assert study.best_value == 55  # one of 1,024


@POLICIES
def test_the_order_of_finishing_changes_no_proposal(policy):
    study, rng = new_study(seed=0, **policy), random.Random(0)
    goal, running = Shuffled('abcdef'), []
    for _ in range(24):
        running.append(study.ask())
        goal(running[-1])
        if len(running) > 4:
            trial = running.pop(rng.randrange(len(running)))
            study.tell(trial, goal(optuna.trial.FixedTrial(trial.params, trial.number)))
    for trial in running:
        study.tell(trial, 1.0)
    assert len(set(answer_sets(study.trials))) == 24
    copy = new_study(seed=0, **policy)
    copy.add_trials(study.trials)
    for one in (study, copy):
        goal(one.ask())
    assert study.trials[-1].params == copy.trials[-1].params


def test_the_sorting_of_questions():
    order = Order()
    assert not order.add('abc') and not order.add('abd') and not order.shuffled
    assert order.add('cba') and order.shuffled
    assert sorted('dcba', key=order.place) == list('abcd')
    assert not order.add('abc') and not order.add('dx')
    later = Order()
    for names in ('za', 'zba', 'bza', 'ay'):  # a is always behind z
        later.add(names)
    assert later.place('z') < later.place('a') < later.place('y')


def test_questions_in_one_order_are_left_in_it():
    study = new_study(seed=0)
    study.optimize(lambda trial: float(sum(
        trial.suggest_categorical(name, (0, 1)) for name in 'zax')), n_trials=4)
    rows = study.sampler.view(study).tree.rows()
    assert [row.name for row in rows if row.depth == 1] == ['z', 'z']

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from autokd_mm.search import MCTSSampler
from autokd_mm.search.study_tree import StudyTree

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(params=['memory', 'journal', 'sqlite'])
def open_storage(request, tmp_path):
    """Opens the same storage again and again, as another process would."""
    memory = InMemoryStorage()
    return {
        'memory': lambda: memory,
        'journal': lambda: JournalStorage(JournalFileBackend(str(tmp_path / 'study.journal'))),
        'sqlite': lambda: f'sqlite:///{tmp_path}/study.db',
    }[request.param]


def new_study(**kwargs):
    kwargs.setdefault('direction', 'maximize')
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), **kwargs)


def add(study, value=None, state=TrialState.COMPLETE, intermediate=None, attrs=None, **params):
    study.add_trial(create_trial(
        state=state, value=value, params=params, user_attrs=attrs,
        distributions={name: CategoricalDistribution((0, 1)) for name in params},
        intermediate_values=intermediate))


def rows(study, **kwargs):
    return {(row.name, row.choice): row for row in StudyTree.of(study, **kwargs).tree.rows()}


def test_states():
    study = new_study()
    add(study, 4.0, x=1)
    add(study, 1.0, x=0, y=0)
    add(study, state=TrialState.FAIL, x=0, y=1)
    add(study, state=TrialState.PRUNED, x=0, y=1)
    add(study, state=TrialState.PRUNED, intermediate={0: 9.0, 5: 2.0}, x=0, y=1)
    add(study, state=TrialState.PRUNED, value=3.0, intermediate={0: 9.0}, x=1)
    add(study, state=TrialState.PRUNED, intermediate={0: math.nan}, x=1)
    add(study, math.inf, x=1)
    add(study, state=TrialState.WAITING, x=1)
    add(study, state=TrialState.RUNNING, x=1)
    got = rows(study)
    assert {key: (r.visits, r.running, r.best) for key, r in got.items()} == {
        ('', None): (8, 1, 4.0), ('x', 0): (4, 0, 2.0), ('x', 1): (4, 1, 4.0),
        ('y', 0): (1, 0, 1.0), ('y', 1): (3, 0, 2.0)}
    assert got['y', 1].mean == pytest.approx((1 + 1 + 2) / 3)  # worst seen: 1
    assert got['x', 1].mean == pytest.approx((4 + 3 + 1 + 1) / 4)


def test_a_failed_trial_with_intermediate_values_is_still_the_worst():
    study = new_study()
    add(study, 0.0, x=0)
    add(study, state=TrialState.FAIL, intermediate={0: 9.0}, x=1)
    assert rows(study)['x', 1].mean == 0.0 and rows(study)['x', 1].best is None


def test_minimise_mirrors_maximise():
    up, down = new_study(), new_study(direction='minimize')
    for value, x in ((1.0, 0), (2.0, 0), (5.0, 1)):
        add(up, value, x=x)
        add(down, -value, x=x)
    one, other = StudyTree.of(up), StudyTree.of(down)
    options = [view.tree.options(view.tree.root, 'x', (0, 1)) for view in (one, other)]
    assert options[0] == options[1]
    shown = [[line.split()[:5] for line in view.describe().splitlines()[2:]]
             for view in (one, other)]
    assert shown[0] == [['2', '0', '1.5', '2', 'x=0'], ['1', '0', '5', '5', 'x=1']]
    assert shown[1] == [['2', '0', '-1.5', '-2', 'x=0'], ['1', '0', '-5', '-5', 'x=1']]


@pytest.mark.parametrize('state', [TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE])
def test_interrupted_trials_do_not_count(state):
    study = new_study()
    add(study, 1.0, x=0)
    add(study, 2.0 if state == TrialState.COMPLETE else None, state=state,
        attrs={'interrupted': True}, x=1)
    add(study, 3.0, attrs={'interrupted': False}, x=0)
    view = StudyTree.of(study)
    assert [(r.visits, r.running) for r in view.tree.rows()] == [(2, 0), (2, 0)]
    assert [view.ordinal(trial) for trial in study.trials] == [0, 1, 1]


def test_the_ordinal_of_a_second_attempt_is_that_of_the_first():
    study = new_study()
    view = StudyTree(study.direction)
    first = [study.ask() for _ in range(4)]
    view.sync(study.get_trials(deepcopy=False))
    assert [view.ordinal(t._get_latest_trial()) for t in first] == [0, 1, 2, 3]
    first[1].set_user_attr('interrupted', True)
    view.sync(study.get_trials(deepcopy=False))  # known before it is told
    study.tell(first[1], state=TrialState.FAIL)
    retry, after = study.ask(), study.ask()
    view.sync(study.get_trials(deepcopy=False))
    trials = study.trials
    assert view.ordinal(trials[2]) == 2  # running: it keeps the ordinal with which it began
    assert [view.ordinal(trials[t.number]) for t in (retry, after)] == [3, 4]
    fresh = StudyTree.of(study)
    assert [fresh.ordinal(t) for t in trials] == [0, 1, 1, 2, 3, 4]


def test_the_order_of_asking_survives_the_storage(open_storage):
    # Neither alphabetical nor the order of the first trial.
    orders = [('zeta', 'alpha', 'mid'), ('mid', 'zeta', 'alpha'), ('alpha', 'zeta')]
    study = new_study(study_name='s', storage=open_storage())
    study.enqueue_trial({'alpha': 1, 'mid': 0, 'zeta': 1})  # asked in another order than given
    for order in orders:
        trial = study.ask()
        for name in order:
            trial.suggest_categorical(name, (0, 1))
        study.tell(trial, 0.0)
    again = optuna.load_study(study_name='s', storage=open_storage())
    assert [tuple(t.params) for t in again.trials] == orders
    # Questions that do not depend on each other stand in one order in the tree.
    assert {b.name for b in StudyTree.of(again).tree.root.branches} == {'alpha'}


def test_grown_equals_rebuilt(open_storage):
    study = new_study(study_name='s', storage=open_storage())
    view, running = StudyTree(study.direction), []
    for n in range(12):
        running.append(study.ask())
        for name in ('x', 'y', 'z')[:1 + n % 3]:
            running[-1].suggest_categorical(name, (0, 1))
        view.sync(study.get_trials(deepcopy=False))
        if n % 3 == 2:  # finish two of three, the younger first, some badly
            study.tell(running.pop(), n * 0.1)
            study.tell(running.pop(0), state=TrialState.FAIL)
        view.sync(study.get_trials(deepcopy=False))
    again = optuna.load_study(study_name='s', storage=open_storage())
    assert set(view.tree.rows()) == set(StudyTree.of(again).tree.rows())
    assert len(running) == 4 and view.tree.root.running == 4


def test_a_running_trial_is_followed_as_it_asks():
    study = new_study()
    view = StudyTree(study.direction)
    trial = study.ask()
    for depth, name in enumerate(('x', 'y', 'z')):
        view.sync(study.get_trials(deepcopy=False))
        assert max(row.depth for row in view.tree.rows()) == depth
        trial.suggest_categorical(name, (0, 1))
    study.tell(trial, 1.0)
    view.sync(study.get_trials(deepcopy=False))
    assert [(r.depth, r.visits, r.running) for r in view.tree.rows()] == [
        (0, 1, 0), (1, 1, 0), (2, 1, 0), (3, 1, 0)]


@pytest.mark.parametrize('plan, x_closed', [
    ([['x', 0], ['y', 1]], True), ([['y', 1]], False), ([['x', 0], ['z', 1]], False),
    ([['x', 0], ['y', 7]], False), ([['x', 1], ['y', 0]], False)])
def test_where_other_processes_plan_to_go_is_taken(plan, x_closed):
    """x=0, y=0 is evaluated. A plan is followed as far as this tree knows the questions."""
    study = new_study()
    add(study, 1.0, x=0, y=0)
    trial = study.ask()
    study._storage.set_trial_system_attr(trial._trial_id, 'mcts:plan', plan)
    view = StudyTree(study.direction)

    def closed():
        view.sync(study.get_trials(deepcopy=False))
        return [option.closed for option in view.tree.options(view.tree.root, 'x', (0, 1))]

    assert closed() == [x_closed, plan[0] == ['x', 1]]
    trial.suggest_categorical('x', (0, 1))
    trial.suggest_categorical('y', (0, 1))
    study.tell(trial, state=TrialState.FAIL)
    view.sync(study.get_trials(deepcopy=False))
    want = [tuple(row) for row in StudyTree.of(study).tree.rows()]
    assert [tuple(row) for row in view.tree.rows()] == want  # nothing of the plan is left


@pytest.mark.parametrize('answered', [0, 1, 2])
def test_a_plan_is_read_together_with_the_answers_it_has_led_to(answered):
    study = new_study()
    add(study, 1.0, x=0, y=0)
    add(study, 1.0, x=1, y=0)
    study.enqueue_trial(dict(x=0, y=1))
    trial = study.ask()
    study._storage.set_trial_system_attr(trial._trial_id, 'mcts:plan', [['x', 0], ['y', 1]])
    for name in ('x', 'y')[:answered]:
        trial.suggest_categorical(name, (0, 1))
    view = StudyTree.of(study)
    assert [o.closed for o in view.tree.options(view.tree.root, 'x', (0, 1))] == [True, False]
    other = study.ask({})
    study._storage.set_trial_user_attr(trial._trial_id, 'interrupted', True)  # the worker died
    view.sync(study.get_trials(deepcopy=False))
    assert not any(o.closed for o in view.tree.options(view.tree.root, 'x', (0, 1)))
    assert view.follow(other._get_latest_trial()) is view.tree.root


def test_numbers_are_ways_down_and_single_parameters_are_not():
    study = new_study()
    trial = study.ask()
    trial.suggest_categorical('only', ('one', ))
    trial.suggest_float('lr', 0, 1)
    trial.suggest_categorical('x', (0, 1))
    study.tell(trial, 1.0)
    got = list(StudyTree.of(study).tree.rows())
    assert [row.name.split()[0] for row in got[1:]] == ['lr', 'lr', 'lr', 'x']
    assert not got[-1].closed  # another learning rate is another trial
    view = StudyTree(study.direction, numbers=False)  # as with an independent sampler
    view.sync(study.get_trials(deepcopy=False))
    got = list(view.tree.rows())
    assert [row.name for row in got] == ['', 'x'] and not got[1].closed


def test_two_objectives_are_refused():
    with pytest.raises(ValueError, match='one objective, this one has 2'):
        StudyTree.of(optuna.create_study(directions=['maximize', 'minimize']))


def test_one_visit_of_virtual_loss_for_reports_too():
    assert StudyTree.of(new_study()).tree.virtual_loss == 1
    assert StudyTree.of(new_study(), 3).tree.virtual_loss == 3


def test_another_question_than_the_one_planned_for():
    """The objective asks what nobody has been asked there, though the way was planned."""
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))

    def objective(trial):
        trial.suggest_categorical('x', (0, 1))
        for name in ('new', 'newer') if trial.number == 6 else ('y', 'z'):
            trial.suggest_categorical(name, (0, 1, 2))
        return float(trial.number)

    study.optimize(objective, n_trials=9)
    assert 'mcts:plan' in study.trials[6].system_attrs and 'newer' in study.trials[6].params
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 9


def test_two_levels_are_described():
    study = new_study()
    add(study, 1.0, x=0, y=1, z=1)
    view = StudyTree.of(study)
    assert 'y=1' in view.describe() and 'z=1' not in view.describe()
    assert 'z=1' in view.describe(3) and 'z=1' in view.describe(None)


def test_an_interrupted_trial_is_counted_once_however_often_it_is_seen():
    study = new_study()
    dead = [study.ask() for _ in range(3)]
    for trial in dead:
        trial.set_user_attr('interrupted', True)
    later, view = study.ask(), StudyTree(study.direction)
    for _ in range(3):
        view.sync(study.get_trials(deepcopy=False))
    study.tell(dead[1], state=TrialState.FAIL)
    view.sync(study.get_trials(deepcopy=False))
    assert view.ordinal(study.get_trials()[later.number]) == 0
    assert view.ordinal(study.get_trials()[2]) == 0

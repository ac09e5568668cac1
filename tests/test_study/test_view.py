"""The study that viewers show, derived from a search's."""
import os
import signal
import time

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.errors import StudyError
from autokd_mm.space import DistillerSpace
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study import study as studies
from autokd_mm.study.shown import NOT_ASKED
from autokd_mm.study.status import status_of
from autokd_mm.study.study import open_study
from autokd_mm.study.view import VIEW, View, standings_in

OUTCOME = dict(held_out_loss=0.5, calibrated_loss=0.25, gap=0.375, metric=0.5, seconds=2.0,
               debiased_gap=float('nan'), curve=[dict(gap=0.5)])
SPACE = DistillerSpace(dict(feature_weight=(1, )))


@pytest.fixture
def search(tmp_path):
    """A study; ``search.trial(value or state)`` adds a trial of a random distiller."""
    study = open_study(str(tmp_path), optuna.samplers.RandomSampler(seed=1), dict(
        space={level: list(options) for level, options in SPACE.levels()}))

    def begin(worker=None):
        trial = study.ask()
        trial.set_user_attr(studies.WORKER, worker or studies.worker_name())
        trial.set_user_attr(studies.SPEC, SPACE.suggest(trial).to_dict())
        return trial

    def trial(value, **attrs):
        one = begin()
        for key, item in dict({studies.OUTCOME: OUTCOME}, **attrs).items():
            one.set_user_attr(key, item)
        if isinstance(value, TrialState):
            study.tell(one, state=value)
        else:
            study.tell(one, value)
        return one

    study.begin, study.trial = begin, trial
    return study


@pytest.fixture
def view(tmp_path):
    return View(str(tmp_path / 'view.journal'))


def trials(view):
    """As somebody reads them who knows nothing of us."""
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(view.path))
    return optuna.load_study(storage=storage, study_name=VIEW).get_trials()


def test_one_parameter_for_each_level_with_its_whole_list(search, view):
    for value in range(12):
        search.trial(0.01 * value)
    assert view.update(search) == 12
    for shown, own in zip(trials(view), search.get_trials()):
        assert list(shown.params) == [level for level, _ in SPACE.levels()]
        spec = own.user_attrs[studies.SPEC]
        for level, options in SPACE.levels():
            assert shown.distributions[level].choices == (*options, NOT_ASKED)
            assert shown.params[level] == spec.get(level, NOT_ASKED)
        assert shown.value == own.value and shown.number == own.number
        assert shown.datetime_start == own.datetime_start
        assert shown.duration == own.duration
        assert all(isinstance(item, (str, int, float)) for item in shown.user_attrs.values())
        assert shown.user_attrs['metric_percent'] == 50 and 'debiased_gap' not in shown.user_attrs
        assert shown.user_attrs['duration_seconds'] == 2
    assert {shown.params['feature_weight'] for shown in trials(view)} == {1, NOT_ASKED}
    found = view._study
    assert found.metric_names == ['reward']
    assert found.direction == optuna.study.StudyDirection.MAXIMIZE
    assert found.best_trial.number == 11


def test_every_state(search, view):
    search.trial(0.5)
    search.trial(TrialState.FAIL, reason='the loss is nan')
    search.trial(TrialState.PRUNED, rejected=True, reason='no gradient')
    pruned = search.begin()
    pruned.report(0.125, 4)
    search.tell(pruned, state=TrialState.PRUNED)
    interrupted = search.begin()
    studies.interrupt(search, interrupted._trial_id)
    view.update(search)
    assert [shown.user_attrs['state'] for shown in trials(view)] == [
        'complete', 'failed', 'rejected', 'pruned', 'interrupted']
    assert [shown.value for shown in trials(view)] == [0.5, None, None, 0.125, None]
    assert trials(view)[1].user_attrs['reason'] == 'the loss is nan'
    assert trials(view)[3].intermediate_values == {4: 0.125}


def test_trials_keep_their_numbers(search, view):
    """What is still running holds up the ones behind it, and what has died does not."""
    search.trial(0.1)
    running = search.begin()
    search.trial(0.3)
    assert view.update(search) == 1
    search.tell(running, 0.2)
    host, pid, _ = studies.worker_name().rsplit(':', 2)
    search.begin(f'{host}:{pid}:12345')
    search.trial(0.4)
    search.begin('elsewhere/1/2:7:1')
    search.trial(0.5)
    assert view.update(search) == 5
    assert [shown.value for shown in trials(view)] == [0.1, 0.2, 0.3, None, 0.4]
    studies.end_dead(search)
    assert view.update(search) == 5


def test_several_workers_write_nothing_twice(search, view):
    others = [View(view.path) for _ in range(3)]
    for number in range(12):
        search.trial(0.1 * number)
        others[number % 3].update(search)
        others[(number + 1) % 3].update(search)
    size = os.path.getsize(view.path)
    assert view.update(search) == 12 and os.path.getsize(view.path) == size
    assert [shown.number for shown in trials(view)] == list(range(12))


def test_the_winner_of_the_final_round_is_the_best(search, view):
    for value in (0.1, 0.5, 0.4, 0.45, 0.3):
        search.trial(value)
    pruned = search.trial(TrialState.PRUNED)
    view.update(search)
    assert view._study.best_trial.number == 1
    standings = {1: (4, 0.2), 2: (4, 0.35), pruned.number: (2, 0.6)}
    view.update(search, standings)
    # The two lost 0.3 and 0.05 on the way.
    assert [round(shown.value, 5) for shown in trials(view)] == [
        -0.075, 0.2, 0.35, 0.275, 0.125, 0.35]
    best, = {view._study.best_trial.number, view._study._storage.get_best_trial(
        view._study._study_id).number}  # optuna-dashboard asks for the second
    assert best == 2 and trials(view)[5].state == TrialState.COMPLETE
    assert trials(view)[2].user_attrs['proxy_reward'] == 0.4
    assert trials(view)[2].user_attrs['final_length_proxies'] == 4
    size = os.path.getsize(view.path)
    view.update(search, {number: (length, reward + 1e-9)
                         for number, (length, reward) in standings.items()})
    assert os.path.getsize(view.path) == size  # as the leaderboard has them: nothing new
    search.trial(0.9)  # the search goes on
    View(view.path).update(search)
    assert trials(view)[6].value < 0.35 and trials(view)[6].user_attrs['proxy_reward'] == 0.9
    view.update(search, {**standings, 6: (4, 0.8)})
    assert view._study.best_trial.number == 6 and view._study.best_value == 0.8


def test_killed_in_the_middle(search, view):
    for number in range(20):
        search.trial(0.01 * number)
    child = os.fork()
    if child == 0:  # writes it anew again and again
        try:
            while True:
                View(view.path).update(search, {1: (4, 0.5)})
                View(view.path).update(search, {2: (4, 0.5)})
        finally:
            os._exit(1)
    while not (os.path.isfile(view.path) and os.path.getsize(view.path) > 200000):
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(view.path, 'ab') as file:
        file.write(b'{"op_code": 4, "stu')  # and a line that was not written to its end
    search.trial(0.9)
    assert view.update(search, {3: (4, 0.5)}) == 21
    assert [shown.number for shown in trials(view)] == list(range(21))
    assert view._study.best_trial.number == 3 and trials(view)[20].value < 0.5


def test_a_damaged_file_and_one_that_is_deleted_are_made_again(search, view):
    search.trial(0.5)
    for text in ('not a journal\nat all\n', 'not a journal\n', '[]\n', 'null\n5\n'):
        with open(view.path, 'w') as file:
            file.write(text)
        assert View(view.path).update(search) == 1
    view.update(search)
    os.remove(view.path)
    search.trial(0.25)
    assert view.update(search) == 2 and len(trials(view)) == 2


def test_of_another_search_that_was_here(search, view, tmp_path):
    search.trial(0.5)
    view.update(search)
    (tmp_path / 'new').mkdir()
    new = open_study(str(tmp_path / 'new'), optuna.samplers.RandomSampler(seed=1), dict(a=1))
    trial = new.ask()
    trial.set_user_attr(studies.SPEC, HANDCRAFTED['KD'].to_dict())
    new.tell(trial, 0.75)
    assert view.update(new) == 1 and trials(view)[0].value == 0.75
    # This study does not say its space.
    assert trials(view)[0].params == HANDCRAFTED['KD'].to_dict()


def test_nothing_yet(search, view):
    assert view.update(search) == 0 and trials(view) == []
    assert view.update(search, {}) == 0


def test_layers_of_their_own(tmp_path, view):
    study = open_study(str(tmp_path), optuna.samplers.RandomSampler(seed=1), dict(
        space={'0/transform': ['none', 'left_out'], 'logits': ['none', 'kl']}))
    trial = study.ask()
    trial.set_user_attr(studies.SPEC, {'0/transform': 'left_out', 'logits': 'kl',
                                       'logits_temperature': 4, 'logits_weight': 1})
    study.tell(trial, 0.1)
    view.update(study)
    assert trials(view)[0].params == {'0/transform': 'left_out', 'logits': 'kl',
                                      'logits_temperature': 4, 'logits_weight': 1}


def test_those_who_read_the_search_do_not_see_it(search, view, tmp_path):
    search.trial(0.5)
    studies.set_baseline(search, dict(seconds=1))
    before = status_of(str(tmp_path))
    view.update(search, {0: (4, 0.5)})
    after = status_of(str(tmp_path))
    before.disk.pop('free'), after.disk.pop('free')
    assert before == after
    assert [one.study_name for one in search._storage.get_all_studies()] == ['autokd_mm']


def test_standings_of_a_leaderboard(tmp_path):
    path = tmp_path / 'leaderboard.csv'
    assert standings_in(str(path)) is None
    path.write_text('trial,final_reward,final_length\n3,0.5,4\n4,,\n')
    assert standings_in(str(path)) == {3: (4, 0.5, 0)}
    path.write_text('trial,final_reward,final_length,final_seeds\n3,0.5,4,2\n4,,,\n')
    assert standings_in(str(path)) == {3: (4, 0.5, 2)}
    path.write_text('trial,final_reward\n3,0.5\n')  # of version 0.1.0
    assert standings_in(str(path)) == {3: (1, 0.5, 0)}
    path.write_text('final_reward,x\nwords,1\n')
    with pytest.raises(StudyError, match='is not the leaderboard'):
        standings_in(str(path))

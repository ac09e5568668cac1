"""The study on disk, with a toy objective in place of training."""
import copy
import os

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.errors import StudyError
from autokd_mm.search import MCTSSampler
from autokd_mm.study import study as studies
from autokd_mm.study.study import (check_study, enqueue_once, finished, interrupt, open_study,
                                   set_baseline, take_up_interrupted, worker_name)

DESCRIPTION = dict(teacher='abc', proxy=dict(images=640), space=dict(a=('x', 'y')))


@pytest.fixture
def open_(tmp_path):
    return lambda: open_study(str(tmp_path), MCTSSampler(seed=0, n_warmup_trials=3), DESCRIPTION)


def objective(trial):
    value = sum(trial.suggest_categorical(name, tuple(range(4))) for name in 'abc')
    return value / 9


def ask(study, worker=None):
    trial = study.ask()
    trial.set_user_attr(studies.WORKER, worker or worker_name())
    return trial


def params(study):
    return [trial.params for trial in finished(study)]


def test_fresh_folder(tmp_path):
    check_study(str(tmp_path), resume=False)
    check_study(str(tmp_path), resume=True, join=True)
    with pytest.raises(StudyError, match='--resume: there is no study.journal in .*leave'):
        check_study(str(tmp_path), resume=True)
    assert list(tmp_path.iterdir()) == []


def test_trials_are_not_gone_on_with_by_accident(open_, tmp_path):
    study = open_()
    check_study(str(tmp_path), False, False, DESCRIPTION)
    study.optimize(objective, n_trials=2)
    check_study(str(tmp_path), True, False, DESCRIPTION)
    check_study(str(tmp_path), False, True, DESCRIPTION)
    with pytest.raises(StudyError, match='2 trials of a search; add --resume'):
        check_study(str(tmp_path), resume=False)


def test_another_search_is_refused_with_what_differs(open_, tmp_path):
    open_().optimize(objective, n_trials=1)
    other = dict(DESCRIPTION, teacher='xyz', proxy=dict(images=320), space=dict(a=('x', 'y')))
    for resume in (False, True):
        with pytest.raises(StudyError, match='study of another search') as refused:
            check_study(str(tmp_path), resume, False, other)
        assert 'proxy.images: 640 there, 320 here' in str(refused.value)
        assert 'teacher: "abc" there, "xyz" here' in str(refused.value)
        assert 'space' not in str(refused.value).replace('study', '')


def test_a_search_that_found_nothing_yet_may_be_changed(open_, tmp_path):
    open_()
    other = dict(DESCRIPTION, teacher='xyz')
    check_study(str(tmp_path), False, False, other)
    study = open_study(str(tmp_path), MCTSSampler(), other)
    assert study.user_attrs['search']['teacher'] == 'xyz'
    set_baseline(study, dict(gap=1.0))
    with pytest.raises(StudyError, match='another search'):
        check_study(str(tmp_path), False, False, DESCRIPTION)


def test_check_writes_nothing(open_, tmp_path):
    open_().optimize(objective, n_trials=1)
    before = (tmp_path / 'study.journal').read_bytes()
    check_study(str(tmp_path), True, False, DESCRIPTION)
    assert (tmp_path / 'study.journal').read_bytes() == before


def test_torn_last_line_is_repaired(open_, tmp_path):
    open_().optimize(objective, n_trials=3)
    path = tmp_path / 'study.journal'
    with open(str(path), 'ab') as file:
        file.write(b'{"op_code":6,"trial_id":1,"st')
    check_study(str(tmp_path), True, False, DESCRIPTION)
    study = open_()
    study.optimize(objective, n_trials=1)
    assert len(open_().trials) == 4 and len(finished(study)) == 4


def dead_worker():
    """A process of this host that is no more: this one's number, another birth."""
    host, pid, _ = worker_name().rsplit(':', 2)
    return f'{host}:{pid}:12345'


@pytest.mark.parametrize('asked', [0, 1, 3], ids=['nothing', 'a part', 'everything'])
@pytest.mark.parametrize('when', [0, 2, 5])
def test_proposals_go_on_as_if_nothing_had_happened(open_, tmp_path, when, asked):
    (tmp_path / 'quiet').mkdir()
    quiet = open_study(str(tmp_path / 'quiet'), MCTSSampler(seed=0, n_warmup_trials=3), DESCRIPTION)
    quiet.optimize(objective, n_trials=9)
    study = open_()
    study.optimize(objective, n_trials=when)
    trial = ask(study, dead_worker())
    for name in 'abc'[:asked]:
        trial.suggest_categorical(name, tuple(range(4)))
    study = open_()
    assert take_up_interrupted(study) == [when]
    study.optimize(objective, n_trials=9 - when)
    assert params(study) == params(quiet)
    assert take_up_interrupted(study) == []


def test_interrupted_twice(open_):
    study = open_()
    first = ask(study, dead_worker())
    first.suggest_categorical('a', tuple(range(4)))
    take_up_interrupted(study)
    second = ask(study, dead_worker())
    assert second.user_attrs[studies.RETRY_OF] == 0
    assert second.suggest_categorical('a', tuple(range(4))) == first.params['a']
    assert take_up_interrupted(study) == [1] and take_up_interrupted(study) == []
    third = ask(study)
    assert third.suggest_categorical('a', tuple(range(4))) == first.params['a']
    assert finished(study) == []


def test_a_trial_of_which_three_workers_die_has_failed(open_):
    study = open_()
    for _ in range(3):
        trial = ask(study, dead_worker())
        trial.suggest_categorical('a', tuple(range(4)))
        queued = take_up_interrupted(study)
    assert queued == [] and [trial.state for trial in study.trials] == [TrialState.FAIL] * 3
    assert [trial.number for trial in finished(study)] == [2]  # the tree shall leave it
    assert study.trials[2].user_attrs['reason'] == 'its worker died 3 times'
    assert len({trial.params['a'] for trial in study.trials}) == 1


def test_a_worker_that_is_asked_to_end_is_no_death(open_):
    study = open_()
    for _ in range(5):
        interrupt(study, ask(study)._trial_id)
        take_up_interrupted(study)
    assert finished(study) == [] and study.trials[-1].state == TrialState.WAITING


def test_a_retry_that_was_queued_twice_runs_once(open_):
    """Writing again, when the storage was away, may write twice."""
    study = open_()
    interrupt(study, ask(study)._trial_id)
    for _ in range(2):
        study.enqueue_trial(dict(a=1), user_attrs={studies.RETRY_OF: 0})
    assert take_up_interrupted(study) == [] and take_up_interrupted(study) == []
    assert [trial.state for trial in study.trials[1:]] == [TrialState.WAITING, TrialState.FAIL]
    study.optimize(objective, n_trials=2)
    assert [trial.params['a'] for trial in finished(study)][0] == 1 and len(study.trials) == 4


def test_silent_workers_of_other_hosts_are_dead(open_):
    study = open_()
    one, other = (ask(study, 'another-host:1:1') for _ in range(2))
    assert studies.end_dead(study) == []
    assert studies.end_dead(study, {one._trial_id}) == [one.number]
    assert study.trials[other.number].state == TrialState.RUNNING
    own = ask(study)
    assert not studies.is_here(study.trials[other.number])
    assert studies.is_here(study.trials[own.number])


def test_what_was_queued_for_a_trial_survives_its_death(open_):
    study = open_()
    enqueue_once(study, [dict(a=1, b=2, c=3)])
    ask(study, dead_worker()).suggest_categorical('a', tuple(range(4)))
    take_up_interrupted(study)
    trial = ask(study)
    assert [trial.suggest_categorical(name, tuple(range(4))) for name in 'abc'] == [1, 2, 3]


def test_unsigned_trial_is_taken_up_and_living_ones_are_left(open_):
    study = open_()
    study.ask()
    alive, elsewhere = ask(study), ask(study, 'another-host:1:1')
    assert take_up_interrupted(study) == [0]
    states = {trial.number: trial.state for trial in study.trials}
    assert states[alive.number] == states[elsewhere.number] == TrialState.RUNNING
    assert len(studies.finished_and_running(study)[1]) == 2


def test_interrupt_marks_and_counts_not(open_):
    study = open_()
    trial = ask(study)
    interrupt(study, trial._trial_id)
    found = study.trials[0]
    assert found.state == TrialState.FAIL and found.user_attrs['interrupted'] is True
    assert found.user_attrs['reason'] == 'interrupted' and finished(study) == []
    interrupt(study, trial._trial_id)  # another worker was faster
    study.tell(study.ask(), 1.0)
    interrupt(study, study.trials[1]._trial_id)
    assert study.trials[1].state == TrialState.COMPLETE and len(finished(study)) == 1


def test_first_distillers_are_queued_once_and_completely(open_):
    wanted = [dict(a=0, b=0, c=0), dict(a=1, b=1, c=1)]
    study = open_()
    study.enqueue_trial(wanted[0], skip_if_exists=True)  # killed behind the first
    enqueue_once(open_(), wanted)
    enqueue_once(open_(), wanted)
    study = open_()
    assert [trial.state for trial in study.trials] == [TrialState.WAITING] * 2
    study.optimize(objective, n_trials=2)
    assert params(study) == wanted
    enqueue_once(study, [*wanted, dict(a=2, b=2, c=2)])  # who goes on names one more
    assert [trial.state for trial in study.trials[2:]] == [TrialState.WAITING]


def test_dead_workers_trials_are_ended_once(open_):
    study = open_()
    alive, lost = ask(study), ask(study, dead_worker())
    assert studies.end_dead(study) == [lost.number] and studies.end_dead(study) == []
    assert study.trials[lost.number].user_attrs['interrupted'] is True
    assert study.trials[alive.number].state == TrialState.RUNNING
    assert take_up_interrupted(study) == [lost.number]  # also what was ended before


def test_rejected_ones_count_only_beyond_the_free_ones(open_):
    study = open_()
    for kind in ('rejected', 'pruned', 'rejected', 'finished', 'rejected', 'failed'):
        trial = study.ask()
        trial.set_user_attr(studies.REJECTED, kind == 'rejected')
        study.tell(trial, *([0.5] if kind == 'finished' else []), state={
            'finished': TrialState.COMPLETE, 'failed': TrialState.FAIL}.get(
                kind, TrialState.PRUNED))
    done = finished(study)
    assert [studies.is_rejected(trial) for trial in done] == [True, False, True, False, True, False]
    assert [studies.counted(done, free) for free in (0, 1, 3, 100)] == [6, 5, 3, 3]
    died = study.ask()  # between the decision and telling it
    died.set_user_attr(studies.REJECTED, True)
    interrupt(study, died._trial_id)
    assert not studies.is_rejected(study.trials[-1]) and len(finished(study)) == 6


def test_pruner(tmp_path):
    pruner = optuna.pruners.MedianPruner()
    study = open_study(str(tmp_path), MCTSSampler(), DESCRIPTION, pruner)
    assert study.pruner is pruner
    # Optuna's own default would prune.
    assert isinstance(open_study(str(tmp_path), MCTSSampler(), DESCRIPTION).pruner,
                      optuna.pruners.NopPruner)


def test_worker_name_is_this_process():
    host, pid, birth = worker_name().rsplit(':', 2)
    assert int(pid) == os.getpid() and birth.isdigit()


def test_failed_and_pruned_count_as_finished(open_):
    study = open_()
    study.tell(study.ask(), state=TrialState.FAIL)
    study.tell(study.ask(), state=TrialState.PRUNED)
    study.ask()
    assert [trial.number for trial in finished(study)] == [0, 1]


def test_any_optuna_reads_it(open_, tmp_path):
    open_().optimize(objective, n_trials=2)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(
        str(tmp_path / 'study.journal')))
    assert len(optuna.load_study(study_name='autokd_mm', storage=storage).trials) == 2


def test_a_trial_that_ends_between_two_looks_is_counted(open_, monkeypatch):
    """Another worker may finish at any moment: done and running come from one look."""
    study = open_()
    trial = study.ask()
    look = study.get_trials

    def look_then_finish(*args, **kwargs):
        seen = look(*args, **kwargs)
        if look()[trial.number].state == TrialState.RUNNING:
            study.tell(trial, 1.0)
        return copy.deepcopy(seen)

    monkeypatch.setattr(study, 'get_trials', look_then_finish)
    done, running = studies.finished_and_running(study)
    assert len(done) + len(running) == 1

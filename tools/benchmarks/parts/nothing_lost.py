"""What must be true of a study behind all that its workers went through."""
import os

import optuna
from optuna.trial import TrialState

from autokd_mm.report import export
from autokd_mm.search import MCTSSampler, StudyTree
from autokd_mm.space import DistillerSpace
from autokd_mm.study import study as studies
from parts.workers import LOG, SEED, open_search, work


def check(work_dir, storage):
    """Nothing is lost, nothing there twice, and the tree is that of an undisturbed run.

    One more worker first runs again what the others left, and a final round. Returns numbers.

    Raises:
        AssertionError: something was lost.
    """
    left = len(studies.finished(open_search(work_dir, storage))) + 5
    study, last = work(work_dir, storage, left, 0.0, None, final=True)
    trials = open_search(work_dir, storage).trials
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert not [trial for trial in trials if not trial.state.is_finished()]
    known = told_trials(work_dir)
    for number, value in known.items():
        assert (trials[number].state, trials[number].value) == (TrialState.COMPLETE, value), number
    done = studies.finished(study)
    interrupted = [trial for trial in trials if trial.user_attrs.get(studies.INTERRUPTED)]
    assert len(done) == left and len(done) + len(interrupted) == len(trials)
    check_retries(trials, interrupted)
    failed = [trial for trial in done if trial.state == TrialState.FAIL]
    assert all(trial.user_attrs[studies.DEATHS] <= studies.RETRIES and 'died 3 times' in
               trial.user_attrs[studies.REASON] for trial in failed)
    check_next_proposal(study, done, open_search(work_dir, storage))
    check_end(work_dir, done, last)
    return dict(finished=len(done), told=len(known), interrupted=len(interrupted),
                given_up=len(failed))


def told_trials(work_dir):
    """Rewards by number, as the workers have noted them; a line may be cut short by a kill."""
    known = {}
    for name in os.listdir(work_dir):
        if name.startswith(LOG):
            with open(os.path.join(work_dir, name)) as file:
                for number, value in (line.split() for line in file if line.endswith('\n')):
                    assert int(number) not in known, f'trial {number} was told twice'
                    known[int(number)] = float(value)
    return known


def check_retries(trials, interrupted):
    """Each interrupted trial runs again, once, and asks for what was asked for before."""
    retries = [trial.user_attrs[studies.RETRY_OF] for trial in trials
               if studies.RETRY_OF in trial.user_attrs]
    assert sorted(retries) == sorted(trial.number for trial in interrupted), 'run again, once each'
    for trial in trials:
        first = trial.user_attrs.get(studies.RETRY_OF)
        if first is not None:
            wanted = {**trial.system_attrs.get('fixed_params', {}), **trial.params}
            before = trials[first].params
            assert {name: wanted.get(name) for name in before} == before


def check_next_proposal(study, done, again):
    """The tree and what it proposes are those of a search that nobody disturbed."""
    quiet = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=SEED))
    # The reason of a trial that was given up is part of its verdict, as its value is.
    quiet.add_trials([optuna.trial.create_trial(
        state=trial.state, value=trial.value, params=trial.params,
        distributions=trial.distributions,
        user_attrs={name: value for name, value in trial.user_attrs.items()
                    if name == studies.REASON}) for trial in done])
    assert StudyTree.of(study).describe(None) == StudyTree.of(quiet).describe(None)
    proposals = [DistillerSpace().suggest(item.ask()) for item in (again, quiet)]
    assert proposals[0] == proposals[1], 'the next proposal is that of an undisturbed search'


def check_end(work_dir, done, last):
    """The leaderboard has each trial, the final round each run, once."""
    with open(os.path.join(work_dir, export.LEADERBOARD)) as file:
        assert len(file.readlines()) == 1 + len(done)
    runs = [(run.user_attrs['candidate'], run.user_attrs['seed'])
            for run in last.study.trials if run.state == TrialState.COMPLETE]
    assert len(runs) == len(set(runs)) == 6 and len(last.standings()) == 2

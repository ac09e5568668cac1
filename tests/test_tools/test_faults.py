"""tools/benchmarks/faults.py, short: workers of a search killed at random moments, a storage that
goes away and comes back, clocks that are set back. What is asserted stands in its ``check``."""
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.search import MCTSSampler
from autokd_mm.space import DistillerSpace
from autokd_mm.study import study as studies

FAULTS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks' / 'faults.py'


def faults(out, *args):
    """The figures by name."""
    done = subprocess.run([sys.executable, '-W', 'ignore', str(FAULTS), *map(str, args), '--quick',
                           '--out', str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode == 1 and 'skipped:' in done.stderr:
        pytest.skip(done.stderr.strip().split('skipped: ')[-1])
    assert done.returncode == 0, done.stderr
    return {row['name']: row['value'] for row in json.loads(out.read_text())}


@pytest.mark.timeout(600)
@pytest.mark.parametrize('kills, storage', [(35, ('--clock', )), (15, ('--postgres', ))],
                         ids=['journal, clocks set back', 'postgresql'])
def test_killed_at_random_and_storage_away_for_20_seconds(kills, storage, tmp_path):
    result = faults(tmp_path / 'faults.json', '--kills', kills, '--away', 20, *storage)
    assert result['trials told by disturbed workers'] >= kills // 2
    assert result['workers killed'] == kills and result['storage away'] == 20
    assert result['kills, check and final round'] >= 20


@pytest.mark.parametrize('lost', [False, True])
def test_the_check_of_a_study_that_has_given_up_a_trial(lost, monkeypatch):
    """Three deaths of one trial are rare in the runs above, so here they are written."""
    monkeypatch.syspath_prepend(str(FAULTS.parent))
    from parts.nothing_lost import SEED, check_next_proposal
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=SEED))
    for value in range(8):
        trial = study.ask()
        DistillerSpace().suggest(trial)
        if value == 5:
            trial.set_user_attr(studies.REASON, 'died 3 times')
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, float(value))
    done = study.trials[:-1] if lost else study.trials
    with pytest.raises(AssertionError) if lost else nullcontext():
        check_next_proposal(study, done, study)

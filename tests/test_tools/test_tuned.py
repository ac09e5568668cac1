"""tools/benchmarks/tuned.py for two trials, killed behind the first."""
import json

import optuna
import pytest

from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study.journal import journal_path, open_storage


@pytest.fixture
def tuned(tool, tmp_path, search_config):
    return lambda *args: tool('benchmarks/tuned', search_config, '--work-dir', tmp_path / 'work',
                              '--again', '1', *args)


def test_a_second_start_goes_on_and_the_winner_is_a_method_of_another_weight(tuned, tmp_path):
    tuned('--trials', '1')
    output = tuned('--trials', '2')
    assert '1 of 2' not in output and '2 of 2' in output
    study = optuna.load_study(study_name='tuned',
                              storage=open_storage(journal_path(str(tmp_path / 'work'))))
    first, second = study.trials
    assert first.params['factor'] != second.params['factor']
    best = max(study.trials, key=lambda trial: trial.value)
    spec = DistillerSpec.from_dict(json.loads(output.strip().splitlines()[-1]))
    assert spec == DistillerSpec.from_dict(best.user_attrs['spec'])
    method = HANDCRAFTED[best.params['method']]
    assert (spec.transform, spec.distance, spec.logits) == (method.transform, method.distance,
                                                            method.logits)
    weight = 'feature_weight' if method.has_feature else 'logits_weight'
    assert getattr(spec, weight) == pytest.approx(
        getattr(method, weight) * best.params['factor'], rel=1e-2)

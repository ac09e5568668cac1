from optuna.trial import create_trial

from autokd_mm.engine import report
from autokd_mm.models.distillers import Layers
from autokd_mm.space import DistillerSpace
from autokd_mm.space.handcrafted import HANDCRAFTED

OUTCOME = dict(held_out_loss=1.5, calibrated_loss=1.25, gap=0.5, metric=0.75, seconds=2.0)


def test_plan():
    layers = Layers('backbone.layer3', 'neck', 'head.fc', None, (64, 8, 8), (64, 1, 1))
    lines = report.plan(DistillerSpace(dict(temperature=(2, 3))), layers, 10)
    assert len(lines) == 14 and 'temperature: 2, 3' in lines[7]
    assert lines[-2:] == ['student: backbone.layer3 (64 x 8 x 8), logits head.fc (10)',
                          'teacher: neck (64 x 1 x 1), no logits']


def test_header():
    trial = create_trial(value=0.25, user_attrs=dict(outcome=OUTCOME))
    trial.number = 7
    text = '\n'.join(report.header(trial, HANDCRAFTED['KD'], 60, 'TPESampler', OUTCOME))
    for words in ('logits kl (T=4) x1', 'reward +0.2500', 'trial 7 of 60', 'TPESampler',
                  'proxy: held-out loss 1.5000, calibrated 1.2500, gap 0.5000, metric 75.00%',
                  'undistilled: held-out loss 1.5000'):
        assert words in text


def test_metrics():
    assert report.metrics_text({'accuracy/top1': 93.391, 'f1': 1}) == 'accuracy/top1 93.39, f1 1.00'

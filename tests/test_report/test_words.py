import logging

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from autokd_mm.models.distillers import LayerPair, Layers
from autokd_mm.report import words
from autokd_mm.search import Belief, MCTSSampler, Prior
from autokd_mm.space import DistillerSpace, LayerwiseSpace, Shapes
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.study.ranking import Standing

OUTCOME = dict(held_out_loss=1.5, calibrated_loss=1.25, gap=0.5, metric=0.75, seconds=2.0)


def test_plan():
    layers = Layers.single('backbone.layer3', 'neck', 'head.fc', 'fc', (64, 8, 8), (64, 1, 1),
                           10)
    lines = words.plan(DistillerSpace(dict(temperature=(2, 3))), layers)
    assert len(lines) == 14 and 'temperature: 2, 3' in lines[7]
    assert lines[-2:] == ['student: backbone.layer3 (64 x 8 x 8), logits head.fc (10)',
                          'teacher: neck (64 x 1 x 1), logits fc (10)']


def test_plan_of_layers_with_options_of_their_own():
    pairs = tuple(LayerPair(f'feature_{i}', f'layer{i}', f'layer{i}', (8, 4, 4), (8, 4, 4), 0.5)
                  for i in range(2))
    space = LayerwiseSpace({}, {pair.name: Shapes(classes=0, has_logits=False) for pair in pairs})
    lines = words.plan(space, Layers(pairs, shared=False))
    assert lines[0].strip().startswith('transform: left_out, none')
    assert lines[-2:] == ['each pair of layers has its own options of these, but for the logits: '
                          'feature_0, feature_1', 'factors: layer0 0.5, layer1 0.5']


def test_header():
    trial = create_trial(value=0.25, user_attrs=dict(outcome=OUTCOME))
    trial.number = 7
    text = '\n'.join(words.header(trial, HANDCRAFTED['KD'], 60, 'TPESampler', OUTCOME))
    for part in ('logits kl (T=4) x1', 'reward +0.2500', 'trial 7 of 60', 'TPESampler',
                  'proxy: held-out loss 1.5000, calibrated 1.2500, gap 0.5000, metric 75.00%',
                  'undistilled: held-out loss 1.5000'):
        assert part in text


def made(number, name='KD', **kwargs):
    trial = create_trial(user_attrs=dict(outcome=OUTCOME, spec=HANDCRAFTED[name].to_dict(),
                                         **kwargs.pop('attrs', {})), **kwargs)
    trial.number = number
    return trial


def test_header_with_the_final_round():
    top, other, lost = made(3, value=0.1), made(4, 'AT', value=0.2), made(5, 'SP', value=0.3)
    standings = {3: Standing(4, 0.5, 2), 4: Standing(4, 0.25, 2)}
    final = words.final_round(top, standings, [lost, other])
    lines = words.header(top, HANDCRAFTED['KD'], 60, 'MCTSSampler', OUTCOME, final)
    assert lines[2].startswith('  reward +0.1000')
    assert lines[3] == ('  final round: reward +0.5000, best of 2 distillers (mean of 2 seeds on a '
                        'proxy 4 times as long)')
    assert lines[4] == '  best hand-crafted there: spatial attention > l2 x5, reward +0.2500'
    assert words.final_round(top, standings, [top, other])[1:] == [
        '  which is the best hand-crafted one there']
    assert len(words.final_round(top, standings, [])) == 1
    assert 'no distiller could be trained' in words.final_round(top, {}, [])[0]
    fewer = {3: Standing(4, 0.5, 2), 4: Standing(4, 0.75, 1)}
    assert words.final_round(top, fewer, [other])[1].endswith('reward +0.7500 with 1 seed')


def test_counts():
    trials = [made(0, value=1.0), made(1, state=TrialState.PRUNED),
              made(2, state=TrialState.PRUNED, attrs=dict(rejected=True)),
              made(3, state=TrialState.PRUNED, attrs=dict(rejected=True)),
              made(4, state=TrialState.FAIL)]
    assert words.counts(trials) == '5 trials (2 rejected, 1 failed, 1 pruned)'
    assert words.counts(trials[:1]) == '1 trials'


def test_metrics():
    assert words.metrics_text({'accuracy/top1': 93.391, 'f1': 1}) == 'accuracy/top1 93.39, f1 1.00'


@pytest.mark.parametrize('metrics,warned', [
    ({'accuracy/top1': 9.8}, 0), ({'coco/bbox_mAP': 0.0, 'coco/bbox_mAP_50': 0.006}, 0),
    ({'coco/bbox_mAP': 0.0, 'coco/bbox_mAP_s': -1.0, 'coco/bbox_mAP_l': 0.0049}, 1),
    ({'mIoU': float('nan')}, 1), ({}, 1)])
def test_teacher_that_can_do_nothing(metrics, warned, caplog):
    with caplog.at_level(logging.INFO):
        words.show_teacher(metrics, logging.getLogger('teacher'))
    assert [item.levelno for item in caplog.records] == [logging.INFO] + [logging.WARNING] * warned
    assert caplog.messages[0] == 'teacher: ' + (words.metrics_text(metrics) or 'no metric')


def test_the_report_says_how_much_was_believed():
    prior = Prior({('logits', "'kl'"): Belief(0.5, 4), ('logits', "'none'"): Belief(-0.5, 4)})
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0, prior=prior))
    assert words.experience(optuna.create_study()) == []
    study.optimize(lambda trial: trial.suggest_categorical('logits', ('none', 'kl')) == 'kl', 2)
    (line, ) = words.experience(study)
    assert 'experience: believed to ' in line and '%' in line

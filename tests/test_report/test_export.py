import csv
import os

import optuna
import pytest
from mmengine.config import Config
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from autokd_mm.engine.hooks import DistillScheduleHook
from autokd_mm.report import export
from autokd_mm.space import LEVELS, DistillerSpec, LayerwiseSpec
from autokd_mm.space.handcrafted import HANDCRAFTED
from autokd_mm.space.predictions import PREDICTION_LEVELS
from autokd_mm.space.schedules import SCHEDULE_LEVELS
from autokd_mm.space.start import START_LEVELS
from autokd_mm.space.teachers import TEACHER_LEVELS
from autokd_mm.study.ranking import Standing, best, ranked, spec_of

RARE = SCHEDULE_LEVELS + TEACHER_LEVELS + PREDICTION_LEVELS + START_LEVELS
HOOK = dict(type='mmrazor.DistillScheduleHook', schedules=dict(loss_feature='cosine'))
OUTCOME = dict(held_out_loss=1.5, calibrated_loss=1.25, gap=0.5, metric=0.75, seconds=2.0)


def trial(number, value, state=TrialState.COMPLETE, spec='KD', **attrs):
    found = create_trial(
        state=state, value=value, params=dict(transform='none'),
        distributions=dict(transform=CategoricalDistribution(('none', ))),
        user_attrs=dict(attrs, spec=HANDCRAFTED[spec].to_dict()))
    found.number = number
    return found


@pytest.fixture
def trials():
    return [trial(0, 0.1, outcome=OUTCOME), trial(1, None, TrialState.FAIL, reason='loss is nan'),
            trial(2, 0.4, outcome=OUTCOME, spec='AT'), trial(3, -0.2, outcome=OUTCOME),
            trial(4, 0.4, outcome=OUTCOME)]


def test_order(trials):
    assert [item.number for item in ranked(trials)] == [2, 4, 0, 3, 1]
    assert best(trials).number == 2
    assert best(trials[1:2]) is None and best([]) is None


def test_order_with_pruned_and_rejected_ones():
    found = [trial(0, 0.9, TrialState.PRUNED), trial(1, None, TrialState.PRUNED, rejected=True),
             trial(2, 0.1), trial(3, -0.4, TrialState.PRUNED), trial(4, None, TrialState.FAIL),
             trial(5, 0.3)]
    assert [item.number for item in ranked(found)] == [5, 2, 0, 3, 1, 4]
    assert best(found).number == 5 and best(found[:1]) is None


def test_order_of_the_final_round(trials):
    final = {0: Standing(4, 0.2), 3: Standing(4, 0.3)}
    assert [item.number for item in ranked(trials, final)] == [3, 0, 2, 4, 1]
    assert best(trials, final).number == 3
    # A good trial is less than a run of the final round.
    assert best(trials, {0: Standing(4, -0.5)}).number == 0
    pruned = [trial(7, 0.1, TrialState.PRUNED)]
    assert best(trials + pruned, {7: Standing(4, 0.4), **final}).number == 7
    # Who came further is better, whatever it gained there.
    further = {**final, 2: Standing(8, -0.1)}
    assert [item.number for item in ranked(trials, further)][:3] == [2, 3, 0]


def test_leaderboard_of_the_final_round(trials, tmp_path):
    path = tmp_path / 'leaderboard.csv'
    export.write_leaderboard(str(path), trials + [
        trial(5, None, TrialState.PRUNED, rejected=True, reason='no gradient'),
        trial(6, 0.2, TrialState.PRUNED, reason='reward +0.2000 behind epoch 2 of 8')],
        {0: Standing(4, 0.25, 2), 3: Standing(4, -0.125, 2), 2: Standing(4, 0.5, 1)})
    rows = list(csv.DictReader(path.open(newline='')))
    assert [tuple(row[name] for name in ('trial', 'state', 'reward', 'final_reward',
                                         'final_length', 'final_seeds')) for row in rows] == [
        ('0', 'complete', '0.1', '0.25', '4', '2'), ('3', 'complete', '-0.2', '-0.125', '4', '2'),
        ('2', 'complete', '0.4', '0.5', '4', '1'), ('4', 'complete', '0.4', '', '', ''),
        ('6', 'pruned', '0.2', '', '', ''), ('1', 'failed', '', '', '', ''),
        ('5', 'rejected', '', '', '', '')]
    assert rows[-1]['reason'] == 'no gradient'


def test_leaderboard(trials, tmp_path):
    path = tmp_path / 'leaderboard.csv'
    export.write_leaderboard(str(path), trials)
    rows = list(csv.DictReader(path.open(newline='')))
    assert list(rows[0])[:6] == ['trial', 'state', 'reward', 'final_reward', 'final_length',
                                 'final_seeds']
    assert list(rows[0])[6 + len(export._MEASURED) + 1:] == [
        level for level in LEVELS if level not in RARE]
    assert [row['trial'] for row in rows] == ['2', '4', '0', '3', '1']
    assert rows[0]['held_out_loss'] == '1.5' and rows[0]['gap'] == '0.5'
    assert rows[0]['metric'] == '0.75' and rows[0]['seconds'] == '2'
    assert rows[0]['transform'] == 'spatial_attention' and rows[0]['logits_weight'] == ''
    assert rows[4]['state'] == 'failed' and rows[4]['reason'] == 'loss is nan'
    assert rows[4]['reward'] == rows[4]['gap'] == ''
    assert b'\r' not in path.read_bytes()


def test_leaderboard_of_weights_that_fade(trials, tmp_path):
    trials[2].user_attrs['spec'] = dict(HANDCRAFTED['AT'].to_dict(), feature_schedule='cosine')
    export.write_leaderboard(str(tmp_path / 'leaderboard.csv'), trials)
    rows = list(csv.DictReader((tmp_path / 'leaderboard.csv').open(newline='')))
    assert [row['feature_schedule'] for row in rows] == ['cosine', '', '', '', '']
    assert 'logits_schedule' not in rows[0]
    assert spec_of(trials[2]).feature_schedule == 'cosine'


def test_leaderboard_of_layers_with_options_of_their_own(tmp_path):
    layers = ('feature_0', HANDCRAFTED['AT']), ('feature_1', DistillerSpec('left_out'))
    spec = LayerwiseSpec(layers, 'kl', 4, 0.5)
    one, two = trial(0, 0.1), trial(1, None, TrialState.FAIL)
    one.user_attrs['spec'] = spec.to_dict()
    del two.user_attrs['spec']
    export.write_leaderboard(str(tmp_path / 'leaderboard.csv'), [two, one])
    rows = list(csv.DictReader((tmp_path / 'leaderboard.csv').open(newline='')))
    assert rows[0]['feature_0/transform'] == 'spatial_attention'
    assert rows[0]['feature_1/transform'] == 'left_out' and rows[0]['feature_1/distance'] == ''
    assert rows[0]['logits_weight'] == '0.5' and rows[1]['feature_0/transform'] == ''
    assert 'transform' not in rows[0] and spec_of(one) == spec


def test_reason_with_commas_and_quotes_stays_one_field(tmp_path):
    path = tmp_path / 'leaderboard.csv'
    reason = 'RuntimeError: shapes (2, 3), "x"\nand more'
    export.write_leaderboard(str(path), [trial(0, None, TrialState.FAIL, reason=reason)])
    assert list(csv.DictReader(path.open(newline='')))[0]['reason'] == reason


def test_spec_of(trials):
    assert spec_of(trials[2]) == HANDCRAFTED['AT']
    study = optuna.create_study()
    study.tell(study.ask(), 1.0)
    assert spec_of(study.trials[0]) is None


@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), KeyboardInterrupt()])
def test_the_old_file_stays_when_writing_fails(tmp_path, monkeypatch, error):
    path = tmp_path / 'file'
    export.write_atomically(str(path), 'old')

    def full(*args):
        raise error

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(type(error)):
        export.write_atomically(str(path), 'new')
    assert path.read_text() == 'old' and os.listdir(str(tmp_path)) == ['file']


def test_best_config_has_nothing_of_the_search(tmp_path):
    config = Config(dict(
        model=dict(type='A', distiller=dict(type='empty'), teacher_ckpt=None),
        train_cfg=dict(type='mmrazor.SearchLoop', trials=3), teacher_ckpt=None, work_dir='w',
        experiment_name='e', load_from='x', resume=True, launcher='slurm'))
    found = export.best_config(config, dict(type='new'), dict(max_epochs=9), 't.pth')
    assert found.to_dict() == dict(
        model=dict(type='A', distiller=dict(type='new'), teacher_ckpt='t.pth'),
        train_cfg=dict(max_epochs=9), teacher_ckpt='t.pth', load_from=None, resume=False,
        launcher='none')
    assert config.train_cfg.trials == 3 and config.work_dir == 'w'
    export.write_best(str(tmp_path / 'best.py'), found, ['in words', ''])
    text = (tmp_path / 'best.py').read_text()
    assert text.startswith('# in words\n#\n')
    assert Config.fromfile(str(tmp_path / 'best.py')).to_dict() == found.to_dict()


@pytest.mark.parametrize('end', ['\n', '\r', '\r\n'])
def test_a_name_of_several_lines_stays_a_comment(tmp_path, end):
    """That of a task comes from an experience, which may be anybody's."""
    path = str(tmp_path / 'best.py')
    export.write_best(path, Config(dict(a=1)), [f'experience of digits{end}b = 2', ''])
    assert Config.fromfile(path).to_dict() == dict(a=1)


@pytest.mark.parametrize('given, schedules, kept', [
    (None, {}, None),
    ([dict(type='EMAHook')], {}, [dict(type='EMAHook')]),
    (None, dict(loss_feature='cosine'), [HOOK]),
    ([dict(HOOK, schedules=dict(loss_neck='linear')), dict(type='EMAHook')],
     dict(loss_feature='cosine'), [dict(type='EMAHook'), HOOK]),
    ([dict(HOOK, type='DistillScheduleHook')], {}, []),
    ([dict(HOOK, type=DistillScheduleHook)], dict(loss_feature='cosine'), [HOOK])])
def test_schedules_of_the_winner_take_the_place_of_others(tmp_path, given, schedules, kept):
    config = Config(dict(model=dict(distiller={}), train_cfg={}))
    if given is not None:
        config.custom_hooks = given
    found = export.best_config(config, {}, dict(max_epochs=9), 't.pth', schedules=schedules)
    export.write_best(str(tmp_path / 'best.py'), found, [])
    assert Config.fromfile(str(tmp_path / 'best.py')).to_dict().get('custom_hooks') == kept
    assert config.get('custom_hooks') == given


@pytest.mark.parametrize('given, wanted', [
    (dict(checkpoint=dict(type='CheckpointHook', interval=10)),
     dict(type='CheckpointHook', interval=10, save_best='accuracy/top1', rule='greater')),
    (None, dict(type='CheckpointHook', save_best='accuracy/top1', rule='greater')),
    (dict(checkpoint=None), None),
    (dict(checkpoint=dict(save_best='auto')), dict(save_best='auto'))])
def test_the_best_checkpoint_is_kept(given, wanted):
    config = Config(dict(model=dict(distiller={}), train_cfg=dict(type='mmrazor.SearchLoop'),
                         val_evaluator=dict(type='Accuracy')))
    if given is not None:
        config.default_hooks = given
    found = export.best_config(config, {}, dict(max_epochs=9), 't.pth')
    assert found.default_hooks.checkpoint == wanted
    assert config.get('default_hooks') == given
    config.train_cfg.metric = 'accuracy/top5'
    found = export.best_config(config, {}, dict(max_epochs=9), 't.pth').default_hooks.checkpoint
    assert found is None or found.save_best in ('accuracy/top5', 'auto')
    config.val_evaluator = dict(type='OfMine')
    config.train_cfg.metric = None
    assert export.best_config(config, {}, {}, 't.pth').get('default_hooks') == given


def test_teacher_in_the_work_dir_moves_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs('w')
    assert export.beside('elsewhere/t.pth', 'w') == 'elsewhere/t.pth'
    assert export.beside('https://host/t.pth', 'w') == 'https://host/t.pth'
    path = export.beside('w/teacher.pth', str(tmp_path / 'w'))
    export.write_best('w/best.py', Config(dict(teacher_ckpt=path)), [])
    os.rename('w', 'moved')
    assert Config.fromfile('moved/best.py').teacher_ckpt == str(tmp_path / 'moved/teacher.pth')

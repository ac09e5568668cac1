"""What a user can do wrong is one line of every tool and exit code 2, whoever notices it."""
import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from autokd_mm.engine.config import load_config
from autokd_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / 'configs' / 'vanilla' / 'resnet8-w4_digits.py'
SEARCH = ROOT / 'configs' / 'search' / 'digits.py'
ENDS_OF_A_DEFECT = 'please report it with the lines above'


@pytest.fixture
def refused(tool, tmp_path, monkeypatch):
    """Run a tool, expect one line on standard error; returns it."""
    monkeypatch.chdir(tmp_path)

    def run(name, *args):
        with pytest.raises(tool.Ended) as ended:
            tool(name, *args)
        assert ended.value.code == 2, ended.value.err
        assert len(ended.value.lines) == 1 and 'Traceback' not in ended.value.err
        assert ended.value.err.strip().endswith(ended.value.line)
        return ended.value.line

    return run


def in_order(line, *words):
    found = [line.find(word) for word in words]
    assert min(found) >= 0 and found == sorted(found), line


# -- config files -------------------------------------------------------------------------------
@pytest.mark.parametrize('name, text, words', [
    ('c.py', 'model = dict(\n', ['c.py', 'SyntaxError']),
    ('c.py', 'model = dict(depth=deep)', ['c.py', "NameError: name 'deep' is not defined"]),
    ('c.py', '_base_ = ["./nowhere.py"]', ['nowhere.py']),
    ('c.py', 'model = {{_base_.nothing}}', ['c.py', "KeyError: 'nothing'"]),
    ('c.py', 'optim_wrapper = dict()', ['c.py has no model']),
    ('c.py', f'_base_ = {str(DIGITS)!r}\ntrain_cfg = None', ['c.py has no train_cfg']),
    ('c.json', '{"model": ', ['c.json', 'JSONDecodeError']),
    ('c.yaml', 'model: [', ['c.yaml']),
    ('c.ini', '[model]', ['Only py/yml/yaml/json']),
    ('c.py', 'custom_imports = dict(imports=["autokd_mm.engine.teacher_bank"])',
     ['custom_imports', 'autokd_mm.engine.teacher_bank has moved to autokd_mm.teacher.full_bank']),
])
def test_config_files(refused, tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    line = refused('train', tmp_path / name)
    in_order(line, 'error: ', *words)


@pytest.mark.parametrize('tool_name', ['search', 'test', 'cache_teacher', 'visualize_distill'])
def test_every_tool_reads_its_config_so(refused, tmp_path, tool_name):
    (tmp_path / 'c.py').write_text('model = dict(')
    more = dict(test=['x.pth'], visualize_distill=['x.pth', 'x.png']).get(tool_name, [])
    assert 'SyntaxError' in refused(tool_name, tmp_path / 'c.py', *more)


# -- what a config names ------------------------------------------------------------------------
@pytest.mark.parametrize('option, words', [
    ('model.backbone.type=mmrazor.CifarResNt',
     ["model.backbone.type: 'mmrazor.CifarResNt' is unknown", "'mmrazor.CifarResNet'"]),
    ('model.type=mmrazor.ImageClassifier',
     ["model.type: 'mmrazor.ImageClassifier' is unknown", "mean 'mmpretrain.ImageClassifier'?"]),
    ('model.backbone.dept=8', ["model.backbone.dept: 'dept' is unknown", "'depth'"]),
    ('model.neck.dim=7', ['model.neck (GlobalAveragePooling): ', 'dim only support', 'get 7']),
    ('optim_wrapper.optimizer.type=SDG',
     ["optim_wrapper.optimizer.type: 'SDG' is unknown", "'SGD'"]),
    ('train_cfg.max_epochs=0', ['param_scheduler', '(CosineAnnealingLR): end should be larger']),
    ('param_scheduler.type=CosinAnnealingLR',
     ["param_scheduler.type: 'CosinAnnealingLR' is unknown", "'CosineAnnealingLR'"]),
    ('optim_wrapper.optimizer.learning_rate=1',
     ["optim_wrapper.optimizer.learning_rate: 'learning_rate' is unknown"]),
    ('train_dataloader.dataset.type=mmrazor.Digts',
     ["train_dataloader.dataset.type: 'mmrazor.Digts' is unknown", "'mmrazor.Digits'"]),
    ('train_dataloader.dataset.pipeline.0.type=RandomCrip',
     ["train_dataloader.dataset.pipeline[0].type: 'RandomCrip' is unknown", "'RandomCrop'"]),
    ('train_dataloader.batch_size=0', ['dataloader: ', 'batch_size=0']),
    ('train_cfg.max_epoch=1', ['CONFIG: EpochBasedTrainLoop', "'max_epoch'"]),
    ('train_dataloader.dataset.pipeline.99.type=X', ['--cfg-options: ', '99']),
    ('optim_wrapper=None', ['has no optim_wrapper']),
])
def test_what_a_config_names(refused, option, words):
    in_order(refused('train', DIGITS, '--cfg-options', *option.split()), 'error: ', *words)


def test_options_that_are_no_values(tool):
    with pytest.raises(tool.Ended) as ended:
        tool('train', DIGITS, '--cfg-options', 'a=[(1,2]')
    assert ended.value.code == 2 and 'Traceback' not in ended.value.err
    last = ended.value.err.strip().splitlines()[-1]
    assert last.startswith('train.py: error: --cfg-options a=[(1,2]')


def test_a_launcher_that_is_not_there(refused, monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    in_order(refused('train', DIGITS, '--launcher', 'pytorch'),
             '--launcher pytorch: ', 'no RANK', 'tools/dist_train.sh')


def test_a_rank_that_is_dead_is_no_defect(tool, monkeypatch):
    def wait(*_):
        raise RuntimeError('[/gloo/gloo/transport/tcp/pair.cc:538] Read error [127.0.0.1]:1065: '
                           'Connection reset by peer\nmore')
    monkeypatch.setattr('autokd_mm.engine.config.load_config', wait)
    with pytest.raises(tool.Ended) as ended:
        tool('train', DIGITS)
    assert ended.value.code == 1 and 'Traceback' not in ended.value.err
    line = ended.value.err.strip().splitlines()[-1]
    in_order(line, 'another rank has ended (', 'reset by peer)', '--resume')


def test_a_launcher_that_says_no_numbers(refused, monkeypatch):
    for name, value in dict(SLURM_PROCID='x', SLURM_NTASKS='2', SLURM_NODELIST='a').items():
        monkeypatch.setenv(name, value)
    for tool_name, config in (('train', DIGITS), ('search', SEARCH)):
        in_order(refused(tool_name, config, '--launcher', 'slurm'),
                 "--launcher slurm: SLURM_PROCID='x': must be a whole number")


# -- files that a config names ------------------------------------------------------------------
def with_dataset(path, **dataset):
    path.write_text(f'_base_ = {str(DIGITS)!r}\n'
                    f'train_dataloader = dict(dataset=dict(_delete_=True, **{dataset!r}))\n')
    return path


@pytest.mark.parametrize('content, words', [
    (None, ['a.json', 'No such file']), ('', ['are no JSON', 'a.json']),
    ('{"images": [', ['are no JSON', 'a.json']), ('[]', ['not supported', 'a.json']),
    (json.dumps(dict(images=[], annotations=[], categories=[])), ['it has no images', 'a.json'])])
def test_annotations(refused, tmp_path, content, words):
    if content is not None:
        (tmp_path / 'a.json').write_text(content)
    config = with_dataset(tmp_path / 'c.py', type='mmdet.CocoDataset', ann_file='a.json',
                          data_root=str(tmp_path), pipeline=[])
    line = refused('train', config)
    in_order(line, 'train_dataloader.dataset (CocoDataset): ')
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('content, words', [
    (None, 'No such file'), (b'no image', 'failed to load image')])
def test_images(refused, tmp_path, workers, content, words):
    (tmp_path / 'list.txt').write_text('one.png 0\n')
    if content is not None:
        (tmp_path / 'one.png').write_bytes(content)
    config = with_dataset(
        tmp_path / 'c.py', type='CustomDataset', ann_file='list.txt', data_root=str(tmp_path),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')])
    line = refused('train', config, '--cfg-options', f'train_dataloader.num_workers={workers}',
                   'train_dataloader.persistent_workers=False')
    assert words in line and 'one.png' in line and 'data_root' in line


def test_checkpoints(refused, tmp_path):
    (tmp_path / 'torn.pth').write_bytes(b'PK\x03\x04 torn')
    torch.save(dict(state_dict={}), str(tmp_path / 'weights.pth'))
    for name, words in (('none.pth', '--resume: there is no file'), ('torn.pth', 'cannot be read'),
                        ('weights.pth', '--resume: weights.pth does not fit this training')):
        line = refused('train', DIGITS, '--resume', name)
        assert words in line and name in line


def test_test_looks_at_out_before_it_runs(refused, tmp_path):
    (tmp_path / 'file').write_text('')
    in_order(refused('test', DIGITS, 'none.pth', '--out', tmp_path / 'file' / 'metrics.json'),
             '--out: ', 'cannot be written')


def test_check_configs(refused, tmp_path):
    in_order(refused('check_configs', 'vanila/'), "PART: 'vanila/' is unknown")
    (tmp_path / 'text').write_text('no json')
    in_order(refused('check_configs', 'resnet8-w4_digits', '--out', tmp_path / 'text'),
             '--out: ', 'holds something else')


# -- --debug, and faults of the program ---------------------------------------------------------
def test_debug_shows_where(tool, tmp_path, monkeypatch):
    (tmp_path / 'c.py').write_text('model = dict(depth=deep)')
    monkeypatch.delenv('AUTOKD_DEBUG', raising=False)
    for flag, name, args in (('--debug', 'train', [tmp_path / 'c.py']),
                             (None, 'export_student', [tmp_path / 'none.pth', tmp_path / 'o.pth'])):
        if flag is None:
            monkeypatch.setenv('AUTOKD_DEBUG', '1')
        with pytest.raises(tool.Ended) as ended:
            tool(name, *args, *([flag] if flag else []))
        assert ended.value.code == 2 and 'Traceback' in ended.value.err
        assert ended.value.err.strip().splitlines()[-1] == ended.value.line
        assert ENDS_OF_A_DEFECT not in ended.value.err


def defect(*args, **kwargs):
    raise TypeError('a fault of the program')


@pytest.mark.parametrize('where', ['mmengine.runner.Runner.from_cfg',
                                   'autokd_mm.models.backbones.cifar_resnet.check_channels'])
def test_a_fault_of_the_program_keeps_its_traceback(tool, tmp_path, monkeypatch, where):
    """Also where it happens while a config is built, in a class of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(where, defect)
    with pytest.raises(tool.Ended) as ended:
        tool('train', DIGITS)
    assert ended.value.code == 1 and ended.value.lines == []
    in_order(ended.value.err, 'Traceback', 'in defect', 'TypeError: a fault', ENDS_OF_A_DEFECT)
    assert ended.value.err.strip().endswith(ENDS_OF_A_DEFECT)


def test_recommend(refused, tmp_path):
    (tmp_path / 'file').touch()
    assert '--work-dir: ' in refused('recommend', 'resnet34_8xb32_in1k', 'resnet18_8xb32_in1k',
                                     '--work-dir', tmp_path / 'file')
    line = refused('recommend', 'digits', '--cfg-options', 'train_cfg.sampler=mcts')
    assert line.startswith('error: sampler')
    line = refused('recommend', 'digits', '--cfg-options',
                   'train_cfg.sampler.experience.without=[cifar10,digits,digit_scenes]',
                   'train_cfg.sampler.experience.file=default')
    assert 'leaves no task' in line
    line = refused('recommend', 'digits', '--experience', tmp_path / 'none.json')
    assert line.startswith(f'error: --experience: {tmp_path / "none.json"} cannot be read')


DISTILLER = '''
_base_ = {base!r}
model = dict(
    _delete_=True, type='mmrazor.FrozenTeacherDistill',
    architecture={{{{_base_.model}}}}, teacher={{{{_base_.model}}}}, teacher_ckpt={weights!r},
    distiller=dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(feat=dict(type='mmrazor.ModuleOutputs', source='backbone.layer3')),
        teacher_recorders=dict(feat=dict(type='mmrazor.ModuleOutputs', source='backbone.layer3')),
        connectors=dict(sf=dict(type='mmrazor.ConvModuleConnector', in_channel=16,
                                out_channel=24)),
        distill_losses=dict(loss_byp=dict(type='mmrazor.L2Loss')),
        loss_forward_mappings=dict(loss_byp=dict(
            s_feature=dict(from_student=True, recorder='feat', connector='sf'),
            t_feature=dict(from_student=False, recorder='feat')))))
'''


@pytest.mark.parametrize('debug', [False, True])
def test_a_distiller_that_cannot_compute(refused, tool, tmp_path, debug):
    """Written as MMRazor's are; its first training step shows the mistake."""
    weights = str(tmp_path / 'teacher.pth')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(load_config(str(DIGITS)).model)
    torch.save(dict(state_dict=network.state_dict()), weights)
    (tmp_path / 'c.py').write_text(DISTILLER.format(base=str(DIGITS), weights=weights))
    args = [tmp_path / 'c.py', '--work-dir', tmp_path / 'w']
    if debug:
        with pytest.raises(tool.Ended) as ended:
            tool('train', *args, '--debug')
        in_order(ended.value.err, 'Traceback', 'compute_distill_losses', 'error: model.distiller')
        return
    in_order(refused('train', *args), 'error: model.distiller.distill_losses.loss_byp (L2Loss): ',
             's_feature is ', 'x24x', 't_feature is ', 'connectors.sf must give 16 channels')


# -- networks whose parts do not fit ------------------------------------------------------------
@pytest.mark.parametrize('option, words', [
    ('model.head.in_channels=32', ['model (ImageClassifier)', 'train_dataloader', 'mat1 and']),
    ('model.backbone.in_channels=3', ['model (ImageClassifier)', 'train_dataloader', 'channels'])])
def test_a_network_that_cannot_take_its_images(refused, tmp_path, option, words):
    line = refused('train', DIGITS, '--work-dir', tmp_path / 'w', '--cfg-options', option)
    in_order(line, *words)


@pytest.mark.parametrize('option, words', [
    ('model.architecture.head.in_channels=32', ['model.architecture (ImageClassifier)', 'mat1']),
    ('model.teacher.head.in_channels=32', ['model.teacher (ImageClassifier)', 'mat1'])])
def test_a_search_of_networks_that_cannot_take_their_images(refused, tmp_path, option, words):
    in_order(refused('search', SEARCH, '--dry-run', '--work-dir', tmp_path / 'w', '--cfg-options',
                     option), *words)


def test_a_metric_that_stops_no_training(refused, tmp_path):
    (tmp_path / 'c.py').write_text(f'''
_base_ = {str(DIGITS)!r}
train_cfg = dict(max_epochs=1, val_interval=1)
custom_hooks = [
    dict(type='EarlyStoppingHook', monitor='accuracy/top2', rule='greater', strict=True)]
''')
    line = refused('train', tmp_path / 'c.py', '--work-dir', tmp_path / 'w')
    in_order(line, 'custom_hooks.EarlyStoppingHook.monitor', 'accuracy/top2', 'accuracy/top1')


def test_a_dataloader_without_a_batch(refused, tmp_path):
    line = refused('train', DIGITS, '--work-dir', tmp_path / 'w', '--cfg-options',
                   'train_dataloader.batch_size=2048', 'train_dataloader.drop_last=True',
                   'param_scheduler=None')
    assert 'train_dataloader.drop_last=True: 1000 images make no batch of 2048' in line

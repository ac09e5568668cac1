"""load_from, averaged weights and classes in the tools: what a user's training brings along."""
import re

import pytest
import torch
from mmengine.registry import DefaultScope

from autokd_mm.engine.config import load_config
from autokd_mm.registry import MODELS
from autokd_mm.safe_load import load_weights


@pytest.fixture(scope='module')
def prepared(tmp_path_factory, tiny_config, tiny_teacher):
    """A distillation, as a search writes it, without the search."""
    folder = tmp_path_factory.mktemp('start')
    (folder / 'search.py').write_text(tiny_config(str(tiny_teacher)))
    config = load_config(str(folder / 'search.py'))
    config.train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=1)
    config.custom_hooks = [dict(type='EMAHook', momentum=0.5)]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student = MODELS.build(config.model.architecture)
        student.init_weights()
    weights = {name: value + 0.5 if name == 'head.fc.bias' else value
               for name, value in student.state_dict().items()}
    torch.save(dict(state_dict=weights), str(folder / 'student.pth'))
    (folder / 'train.py').write_text(config.pretty_text)
    return folder


def first_bias(path):
    return load_weights(str(path))['state_dict']['architecture.head.fc.bias']


@pytest.mark.timeout(300)
def test_a_student_alone_is_where_a_training_starts(tool, prepared, tmp_path):
    frozen = ('optim_wrapper.optimizer.lr=0', 'optim_wrapper.optimizer.weight_decay=0')
    out = tool('train', prepared / 'train.py', '--work-dir', tmp_path / 'a', '--cfg-options',
               f'load_from={prepared / "student.pth"}', *frozen)
    assert re.search(r'load_from: \S+student.pth: 37 of 37 tensors fit \(100.0% of', out)
    wanted = load_weights(str(prepared / 'student.pth'))['state_dict']['head.fc.bias']
    checkpoint = tmp_path / 'a' / 'epoch_1.pth'
    assert torch.equal(first_bias(checkpoint), wanted)

    # The checkpoint holds averaged weights, and whoever reads it says so.
    out = tool('export_student', checkpoint, tmp_path / 'b.pth')
    assert 'the averaged weights (EMAHook), which were validated' in out
    out = tool('train', prepared / 'train.py', '--work-dir', tmp_path / 'c', '--cfg-options',
               f'load_from={checkpoint}', *frozen)
    assert 'tensors fit (100.0% of the numbers), the averaged weights (EMAHook)' in out
    assert torch.equal(first_bias(tmp_path / 'c' / 'epoch_1.pth'), wanted)


@pytest.mark.parametrize('options, words', [
    (['load_from={teacher}'], 'load_from: .* is of another network: .* backbone.conv1.weight has '
                              r'shape \(8, 1, 3, 3\) there and \(4, 1, 3, 3\) here'),
    (['load_from=nowhere.pth'], 'load_from: there is no file nowhere.pth'),
    (['model.architecture.head.num_classes=9'], 'model.architecture.head.num_classes=9: Digits has '
                                                '10 classes'),
    (['optim_wrapper.type=AmpOptimWrapper'], 'optim_wrapper.type: AmpOptimWrapper in float16 needs '
                                             'a GPU'),
    (['optim_wrapper.constructor=LearningRateDecayOptimWrapperConstructor',
      'optim_wrapper.paramwise_cfg.layer_decay_rate=0.5'],
     'optim_wrapper.constructor: LearningRateDecay.*get_layer_depth')])
@pytest.mark.parametrize('name', ['search', 'train'])
def test_mistakes_are_one_line(tool, prepared, tiny_teacher, tmp_path, name, options, words):
    if torch.cuda.is_available() and 'Amp' in options[0]:
        pytest.skip('there is a GPU')
    options = [option.format(teacher=tiny_teacher) for option in options]
    with pytest.raises(tool.Ended) as ended:
        tool(name, prepared / f'{name}.py', '--work-dir', tmp_path / 'w', '--cfg-options', *options)
    assert ended.value.code == 2 and 'Traceback' not in ended.value.err
    assert re.search(words, ended.value.line), ended.value.line
    assert not (tmp_path / 'w' / 'bank').exists()


@pytest.mark.timeout(300)
def test_a_search_and_its_result_start_from_the_same(search, prepared, study_of):
    option = f'load_from={prepared / "student.pth"}'
    folder = search('--trials', 1, '--cfg-options', option, 'train_cfg.final_round=None',
                    'train_cfg.rejection=None')
    best = folder / 'best_distiller.py'
    assert load_config(str(best)).load_from == str(prepared / 'student.pth')
    assert '#   the proxy differs from the full training:' in best.read_text()
    plain = search('--trials', 1, '--cfg-options', 'train_cfg.final_round=None',
                   'train_cfg.rejection=None', work_dir='plain')
    one, other = (study_of(path).user_attrs for path in (folder, plain))
    assert one['baseline'] != other['baseline']
    assert 'start' in str(one) and load_config(str(plain / 'best_distiller.py')).load_from is None
    with pytest.raises(search.Ended, match='holds the study of another search .*start'):
        search('--resume', '--trials', 2, '--cfg-options', option, 'train_cfg.final_round=None',
               'train_cfg.rejection=None', work_dir='plain')

"""A teacher that is read and not run."""
import copy

import numpy as np
import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from pretend_device import pretend_cuda

from autokd_mm.bank import FeatureBank, Plan
from autokd_mm.bank.identity import weights_digest
from autokd_mm.bank.records import KIND
from autokd_mm.errors import ConfigError

LAYERS = ('backbone.layer3', 'head.fc', 'neck')


@pytest.fixture
def write(build, batch, tmp_path):
    """Bank of the teacher on the 8 images of ``batch`` in 2 views, of which the second is the
    negative of the first. Returns its folder."""
    def make(name='bank', seed=0, kind=KIND, change=lambda arrays: None, **algorithm):
        model = build(**algorithm)
        outputs = {layer: [] for layer in LAYERS}
        handles = [model.teacher.get_submodule(layer).register_forward_hook(
            lambda module, inputs, output, layer=layer: outputs[layer].append(output))
            for layer in LAYERS]
        with torch.no_grad():
            for view in range(2):
                inputs = model.data_preprocessor(seen_in(batch, view), True)['inputs']
                model.teacher(inputs if model.to_teacher is None else model.to_teacher(inputs),
                              mode='tensor')
        for handle in handles:
            handle.remove()
        outputs['neck[0]'] = [output[0] for output in outputs.pop('neck')]  # a tuple of one
        arrays = {layer: torch.cat(found).numpy() for layer, found in outputs.items()}
        change(arrays)
        plan = Plan(dict(kind=kind, teacher=weights_digest(model.teacher.state_dict()),
                         data=dict(samples=8, views=2, seed=seed)),
                    {layer: (array.shape, 'float32') for layer, array in arrays.items()}, 5)
        FeatureBank.open_or_build(
            str(tmp_path / name), plan, lambda start, stop: {
                layer: array[start:stop] for layer, array in arrays.items()}, pytest.fail)
        return dict(path=str(tmp_path / name))

    return make


def seen_in(batch, view, order=range(8), seed=0):
    """The batch as SeededViews gives it."""
    batch = dict(inputs=[255 - batch['inputs'][i] if view else batch['inputs'][i] for i in order],
                 data_samples=[copy.deepcopy(batch['data_samples'][i]) for i in order])
    for place, sample in zip(order, batch['data_samples']):
        sample.set_metainfo(dict(view_sample=place, view=view, view_seed=seed))
    return batch


def step(model, batch):
    return model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')


def calls_of(model):
    calls = []
    model.teacher.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    return calls


def same(found, expected):
    assert set(found) == set(expected)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6)


def test_losses_and_gradients_are_those_of_the_running_teacher(build, batch, write):
    online, banked = build().train(), build(bank=write()).train()
    calls = calls_of(banked)
    for view, order in ((0, [3, 1, 7, 0, 5]), (1, [2, 4]), (1, list(range(8)))):
        found = step(banked, seen_in(batch, view, order))
        expected = step(online, seen_in(batch, view, order))
        same(found, expected)
        for model, losses in ((banked, found), (online, expected)):
            model.zero_grad()
            sum(losses.values()).backward()
        for one, other in zip(banked.parameters(), online.parameters()):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    assert calls == [4]  # held against the bank once


def test_teacher_with_its_own_normalisation(build, batch, write, configs):
    own = dict(teacher=configs[0](dict(
        type='ClsDataPreprocessor', mean=[100., 110., 120.], std=[60., 61., 62.]), channels=8))
    same(step(build(bank=write(**own), **own), seen_in(batch, 1)),
         step(build(**own), seen_in(batch, 1)))


def test_recorders_of_any_name_and_modules_that_return_tuples(build, batch, write, configs):
    recorder = dict(type='mmrazor.ModuleOutputs', source='neck')

    def mapping(student):
        return dict(recorder='pooled', from_student=student, data_idx=0)

    distiller = configs[1](
        student_recorders=dict(pooled=recorder), teacher_recorders=dict(pooled=recorder),
        connectors={}, distill_losses=dict(loss_pooled=dict(type='mmrazor.FeatureLoss')),
        loss_forward_mappings=dict(loss_pooled=dict(student=mapping(True),
                                                    teacher=mapping(False))))
    how = dict(distiller=distiller, teacher=configs[0](channels=4))
    same(step(build(bank=write(**how), **how), seen_in(batch, 0)),
         step(build(**how), seen_in(batch, 0)))


def test_copies_and_averages_share_the_bank(build, batch, write):
    model = build(bank=write()).train()
    expected = step(model, seen_in(batch, 0))
    twin = copy.deepcopy(model)
    same(step(twin, seen_in(batch, 0)), expected)
    assert ExponentialMovingAverage(model).module._bank is twin._bank is model._bank


def test_teacher_stays_where_it_is(build, write):
    model = build(bank=write()).to('meta')
    assert {parameter.device.type for parameter in model.teacher.parameters()} == {'cpu'}
    assert model.student.head.fc.weight.device.type == 'meta'


def test_a_bank_has_no_images_at_another_scale(build, write):
    with pytest.raises(ConfigError, match='^model.bank: .*images of one size'):
        build(bank=write(), teacher_input=dict(scale=2))


def test_stopped_distillation_reads_nothing(build, batch, write):
    model = build(bank=write())
    model.distillation_stopped = True
    losses = step(model, batch)
    assert all(float(loss) == 0 for name, loss in losses.items() if 'distill' in name)
    assert 'student.loss' in losses


# ---------------------------------------------------------------------- refusals
def test_bank_of_another_teacher(build, batch, write):
    model = build(bank=write())
    model.teacher.head.fc.weight.data += 1
    with pytest.raises(ConfigError, match='model.bank: .* another teacher .teacher: .* there, '):
        step(model, seen_in(batch, 0))


@pytest.mark.parametrize('layer', ['head.fc', 'backbone.layer3'])
def test_bank_of_other_pixels_is_found_out(build, batch, write, layer):

    def change(arrays):
        arrays[layer] = np.roll(arrays[layer], 1, axis=0)

    model = build(bank=write(change=change))
    with pytest.raises(ConfigError, match=f'holds of {layer} is not what the teacher says'):
        step(model, seen_in(batch, 0))


def test_nan_in_the_bank_is_found_out(build, batch, write):

    def change(arrays):
        arrays['head.fc'][0, 0] = np.nan

    with pytest.raises(ConfigError, match='is not what the teacher says'):
        step(build(bank=write(change=change)), seen_in(batch, 0))


@pytest.mark.parametrize('view, seed, words', [
    (2, 0, 'view 2, seed 0 is not in .* 8 samples, 2 views, seed 0'), (0, 1, 'seed 1 is not in')])
def test_other_views(build, batch, write, view, seed, words):
    with pytest.raises(ConfigError, match=words):
        step(build(bank=write()), seen_in(batch, view, seed=seed))


def test_images_that_do_not_say_where_they_come_from(build, batch, write):
    with pytest.raises(ConfigError, match="model.bank: .* wrap train_dataloader.dataset in "
                                          ".*'mmrazor.SeededViews'"):
        step(build(bank=write()), batch)


def test_layer_that_the_bank_does_not_hold(build, write, configs):
    with pytest.raises(ConfigError, match="model.distiller.teacher_recorders.feature.source: "
                                          "'backbone.layer2' is unknown, did you mean "
                                          "'backbone.layer3'"):
        build(bank=write(), distiller=configs[1]('backbone.layer2'))


@pytest.mark.parametrize('change, words', [
    (dict(teacher_recorders=dict(feature=dict(
        type='mmrazor.ModuleInputs', source='head.fc'))), 'the type must be ModuleOutputs'),
    (dict(distill_deliveries=dict(d=dict(
        type='MethodOutputs', _scope_='mmrazor', max_keep_data=1,
        method_path='mmpretrain.models.ImageClassifier.extract_feat'))), 'with deliveries')])
def test_what_a_bank_cannot_hold(build, write, configs, change, words):
    with pytest.raises(ConfigError, match=words):
        build(bank=write(), distiller=configs[1](**change, loss_forward_mappings={},
                                                 distill_losses={}))


def test_folders_that_are_no_such_bank(build, write, tmp_path):
    with pytest.raises(ConfigError, match='model.bank.path: .* holds no finished bank'):
        build(bank=dict(path=str(tmp_path)))
    with pytest.raises(ConfigError, match='model.bank.path: .* is the bank of a search'):
        build(bank=write('search', kind='proxy'))
    with pytest.raises(ConfigError, match="model.bank: 'folder' is unknown"):
        build(bank=dict(folder='x'))
    path = write('torn')
    (tmp_path / 'torn' / 'head.fc.00001.npy').write_bytes(b'')
    with pytest.raises(ConfigError, match='model.bank.path: torn or changed: .*head.fc.00001.npy'):
        build(bank=path)


def test_a_gpu_is_waited_for_once_to_compare(build, batch, write):
    bank = write()
    with pretend_cuda() as device:
        model, online = build(bank=bank).to('cuda'), build()
        found = []
        for _ in range(2):
            with device.counted() as waits:
                losses = step(model, seen_in(batch, 0))
                sum(losses.values()).backward()
            found.append([wait for wait in waits if wait.ours])
    assert found[0] and not found[1]
    same({name: loss.cpu() for name, loss in losses.items()}, step(online, batch))

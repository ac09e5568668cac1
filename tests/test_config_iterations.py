"""One training iteration of every shipped config: small random images, batch of two.

tools/check_configs.py does the same at full size.
"""
import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from autokd_mm.engine.config import load_config
from autokd_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tools'))

import check_configs  # noqa: E402

# The shorter side of COCO's images becomes 50 pixels, a crop of Cityscapes 32.
SHRINK = 16
FAMILIES = ('deeplabv3', 'faster_rcnn', 'retinanet', 'imagenet')
# Configs of the same networks follow each other. The large teachers alone are left to the tool:
# test_config_settings.py holds them against those that take part here.
ALL = sorted((name for name in check_configs.shipped()
              if not ('vanilla/' in name and ('_r101_' in name or 'regnety' in name))),
             key=lambda name: (next((part for part in FAMILIES if part in name), ''), name))
# MGD's mask may hide the only pixel of P7, which has 7 x 11 at full size.
HIDDEN = 'gradient of distiller.distill_losses.loss_p7.transform.generation.0.weight is zero'


@pytest.fixture(autouse=True)
def seeded_and_in_one_thread():
    threads, numpy_state = torch.get_num_threads(), np.random.get_state()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        np.random.seed(0)  # draws the images
        yield
    np.random.set_state(numpy_state)
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def network():
    """Makes networks, the same ones with the same weights for configs that have the same: half of
    the time goes into initial weights."""
    kept = {}

    def make(config):
        key = json.dumps(without_scope(config), sort_keys=True)
        if key in kept:
            kept[key] = kept.pop(key)  # the last used are kept
        else:
            made = check_configs.new_network(config)
            kept[key] = (made, copy.deepcopy(made.state_dict()),
                         [value.requires_grad for value in made.parameters()])
            if len(kept) > 4:
                del kept[next(iter(kept))]
        made, state, trained = kept[key]
        made.load_state_dict(state)  # or dozens of steps on noise add up
        for value, train in zip(made.parameters(), trained):
            value.grad = None
            value.requires_grad = train  # a teacher's are switched off
        return made

    return make


def without_scope(node):
    """A config through a base has the scope of that in every dict, a config on its own has not."""
    if isinstance(node, dict):
        return {key: without_scope(item) for key, item in node.items() if key != '_scope_'}
    return [without_scope(item) for item in node] if isinstance(node, (list, tuple)) else node


@pytest.mark.parametrize('name', ALL)
def test_finite_losses_and_a_gradient_for_every_parameter(name, network):
    config = load_config(str(ROOT / 'configs' / name), dict(teacher_ckpt='None'))
    own = config.model.get('architecture', config.model)
    if 'roi_head' in own:
        own.train_cfg.rcnn.sampler.num = 32  # most of the time would go into 1024 regions
    with DefaultScope.overwrite_default_scope(config.default_scope):
        # A last map of 1 x 1 leaves batch normalisation two numbers, and gradients that vanish.
        shrink = 4 if 'imagenet' in name or 'camvid' in name else SHRINK
        model = check_configs.build(config, shrink, network)
        data = check_configs.batch(config, shrink)
        if name.startswith('search/'):
            model = check_configs.candidate(model, config, data)
        result = check_configs.iteration(model, config, data)
    assert [fault for fault in check_configs.faults(name, result) if fault != HIDDEN] == []
    assert len(result['parameters']) > 20 and result['inputs'][0] == 2
    if 'architecture' in config.model:
        distilled = [loss for loss in result['losses'] if loss.startswith('distill.')]
        assert len(distilled) >= len(config.model.distiller.get('distill_losses', ()))
        assert distilled
        assert all(value.grad is None for value in model.teacher.parameters())


def test_what_is_wrong_is_found():
    losses = {'loss': float('nan'), 'student.loss_cls': 1.0}
    result = dict(losses=losses, missing=['neck.a'], zero=['neck.b'], infinite=[])
    assert check_configs.faults('search/x.py', result) == [
        'loss is nan', 'gradient of neck.a is missing', 'gradient of neck.b is zero']


def test_a_layer_that_takes_no_part_is_found(network):
    config = load_config(str(ROOT / 'configs/vanilla/resnet8-w4_digits.py'))
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = check_configs.build(config)
        model.unused = torch.nn.Linear(2, 2)
        result = check_configs.iteration(model, config, check_configs.batch(config))
    assert check_configs.faults('vanilla/resnet8-w4_digits.py', result) == [
        'gradient of unused.bias is missing', 'gradient of unused.weight is missing']


def test_fgd_where_one_image_has_no_boxes():
    config = load_config(str(ROOT / 'configs/distill/fgd_retinanet_r101_r50_coco.py'),
                         dict(teacher_ckpt='None'))
    config.model.teacher.cfg_path = config.model.teacher.cfg_path.replace('r101', 'r50')  # quicker
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = MODELS.build(config.model).train()
        samples = []
        for size, boxes in (((64, 96), [[3, 4, 50, 40], [60, 10, 95, 63]]), ((60, 64), [])):
            samples.append(DetDataSample(metainfo=dict(img_shape=size)))
            samples[-1].gt_instances = InstanceData(
                bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
                labels=torch.zeros(len(boxes), dtype=torch.long))
        batch = dict(inputs=[torch.randint(0, 256, (3, *sample.img_shape), dtype=torch.uint8)
                             for sample in samples], data_samples=samples)
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        distilled = [losses[f'distill.loss_p{level}'] for level in range(3, 8)]
        sum(distilled).backward()
    assert all(loss.isfinite() and loss > 0 for loss in distilled)
    gradients = [parameter.grad for parameter in model.architecture.neck.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
    assert all(parameter.grad is None for parameter in model.teacher.parameters())

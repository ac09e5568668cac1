#!/usr/bin/env python3
"""One training iteration of shipped configs on random images of full size: finite losses, a
gradient for every parameter of the student. Nothing is downloaded; no weights and data are needed.

    python tools/check_configs.py                      all configs, those already done left out
    python tools/check_configs.py retinanet vanilla/   configs with one of these in their path
"""
import argparse
import copy
import fnmatch
import json
import os
import time

import _cli
import numpy as np
import torch
from _random_images import batch, shrunk, small_images

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Parameters that rightly get no gradient, or one of exactly zero, by a pattern of config and name.
# Nothing is said to a DeiT's distillation head where nothing is distilled.
EXCEPTIONS = {'vanilla/deit-*': ['head.layers.head_dist.*']}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('parts', nargs='*', metavar='PART', help='of the path of a config')
    parser.add_argument('--out', default='work_dirs/check_configs.jsonl',
                        help='results, one line each; configs that stand in it are left out')
    parser.add_argument('--shrink', type=int, default=1, help='divide the sides of images by this')
    return parser.parse_args()


def shipped():
    """Paths of all configs, relative to the folder of configs."""
    return [f'{kind}/{name}' for kind in ('vanilla', 'distill', 'search')
            for name in sorted(os.listdir(os.path.join(ROOT, 'configs', kind)))
            if name.endswith('.py')]


def without_download(config):
    """``config`` of a network: a ``cfg_path`` is read, nothing comes from a checkpoint."""
    from mmengine.hub import get_config
    if 'cfg_path' in config:
        config = get_config(config['cfg_path']).model
    config = copy.deepcopy(config)

    def strip(node):
        if isinstance(node, dict):
            if 'pretrained' in node:
                node['pretrained'] = None
            if isinstance(node.get('init_cfg'), dict) and node['init_cfg']['type'] == 'Pretrained':
                node['init_cfg'] = None
            node = list(node.values())
        for item in node if isinstance(node, (list, tuple)) else ():
            strip(item)

    strip(config)
    return config


def new_network(config):
    """A network with random weights, none of which is zero as a whole: behind a layer that starts
    at zero no gradient would show."""
    from autokd_mm.registry import MODELS
    network = MODELS.build(config)
    network.init_weights()
    with torch.no_grad():
        for value in network.parameters():
            if not value.any():
                value.normal_(std=0.01)
    return network


def build(config, shrink=1, network=new_network):
    """The model of ``config``, whose networks ``network`` makes from their configs."""
    from autokd_mm.registry import MODELS
    model = copy.deepcopy(config.model)
    alone = 'architecture' not in model
    own = without_download(model if alone else model.architecture)
    if alone and config.get('data_preprocessor'):
        own['data_preprocessor'] = copy.deepcopy(config.data_preprocessor)
    if isinstance(own['data_preprocessor'].get('size'), (list, tuple)):
        small = small_images(config.train_dataloader.dataset)
        size = own['data_preprocessor']['size']
        own['data_preprocessor']['size'] = size if small else shrunk(size, shrink)
    if alone:
        return network(own).train()
    teacher = without_download(model.teacher)
    for each in teacher.get('teachers', [teacher]):
        each.setdefault('data_preprocessor', own['data_preprocessor'])
    model = MODELS.build(dict(model, architecture=network(own), teacher=network(teacher),
                              teacher_ckpt=None))
    model.distiller.init_weights()
    return model.train()


def candidate(model, config, data):
    """``model`` of a search config with the first distiller of its warm start."""
    from autokd_mm.layers.find import find_layers
    from autokd_mm.models.distillers import distiller_config
    from autokd_mm.registry import MODELS
    from autokd_mm.space.handcrafted import handcrafted
    search = config.train_cfg
    layers = find_layers(model, model.architecture, search.layers, data['inputs'][0][None],
                         data['data_samples'][:1])
    method = (search.get('warm_start') or ['AT'])[0]
    return MODELS.build(dict(
        copy.deepcopy(config.model), architecture=model.architecture, teacher=model.teacher,
        teacher_ckpt=None,
        distiller=distiller_config(handcrafted(method, layers.same_shape), layers))).train()


def settle(model, data):
    """Give the teacher the BatchNorm statistics of these images: with those it starts with, what it
    says would grow from layer to layer."""
    model.train()
    for module in model.teacher.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.train()
            module.momentum = 1
    with torch.no_grad():
        model(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss')
    model.train()


def iteration(model, config, data):
    """Losses, their gradients and a step of the optimiser.

    Returns:
        A dict of ``losses``, ``inputs`` (shape), ``parameters`` (names of those that take a
        gradient), ``frozen`` (how many do not), names of ``missing``, ``zero``, ``infinite`` ones.
    """
    from mmengine.optim import build_optim_wrapper
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    ready = model.data_preprocessor(copy.deepcopy(data), True)
    total, losses = model.parse_losses(model(**ready, mode='loss'))
    optim_wrapper.zero_grad()
    total.backward()
    wanted = {name: value for name, value in model.named_parameters() if value.requires_grad}
    grads = {name: value.grad for name, value in wanted.items() if value.grad is not None}
    result = dict(
        losses={name: float(value) for name, value in losses.items() if 'loss' in name},
        inputs=list(ready['inputs'].shape), parameters=sorted(wanted),
        frozen=len(list(model.parameters())) - len(wanted),
        missing=sorted(set(wanted) - set(grads)),
        zero=sorted(name for name, grad in grads.items() if not grad.any()),
        infinite=sorted(name for name, grad in grads.items() if not grad.isfinite().all()))
    optim_wrapper.step()
    return result


def faults(name, result):
    """What is wrong with an :func:`iteration` of the config ``name``, in words."""
    found = [f'{loss} is {value}' for loss, value in result['losses'].items()
             if not np.isfinite(value)]
    excused = [pattern for config, patterns in EXCEPTIONS.items()
               if fnmatch.fnmatch(name, config) for pattern in patterns]
    for what in ('missing', 'zero', 'infinite'):
        found += [f'gradient of {parameter} is {what}' for parameter in result[what]
                  if not any(fnmatch.fnmatch(parameter, pattern) for pattern in excused)]
    return found


def check(name, shrink=1):
    """One iteration of the config ``name``; JSON values."""
    from mmengine.registry import DefaultScope

    from autokd_mm.engine.config import load_config
    config = load_config(os.path.join(ROOT, 'configs', name))
    torch.manual_seed(0)
    np.random.seed(0)
    start = time.perf_counter()
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model, data = build(config, shrink), batch(config, shrink)
        if name.startswith('search/'):
            model = candidate(model, config, data)
        if hasattr(model, 'teacher'):
            settle(model, data)
        result = iteration(model, config, data)
    return dict(result, config=name, seconds=round(time.perf_counter() - start, 1),
                faults=faults(name, result))


def line(result):
    losses = result['losses']
    distill = [value for name, value in losses.items() if name.startswith('distill.')]
    student = sum(value for name, value in losses.items()
                  if name.startswith('student.')) if distill else losses['loss']
    gradients = len(result['parameters']) - len(result['missing'] + result['zero'])
    return (f'| {result["config"]} | {" x ".join(map(str, result["inputs"]))} | {student:.3f} | '
            f'{f"{sum(distill):.4f}" if distill else ""} | '
            f'{gradients} of {len(result["parameters"])} | {result["frozen"]} | '
            f'{result["seconds"]} | {"; ".join(result["faults"]) or "ok"} |')


def main():
    args = parse_args()
    from autokd_mm.engine.config import check_writable
    from autokd_mm.errors import ConfigError, nearest
    for part in args.parts:
        if not any(part in name for name in shipped()):
            raise ConfigError(f'PART: {nearest(part, shipped())}')
    check_writable(os.path.dirname(os.path.abspath(args.out)), '--out')
    with open(args.out, 'a+') as file:
        file.seek(0)
        try:
            done = {result['config']: result for result in map(json.loads, file)}
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f'--out: {args.out} holds something else ({error})') from None
    print('| config | images | student | distill | gradients | frozen | seconds | |\n'
          '|---|---|---|---|---|---|---|---|', flush=True)
    wrong = 0
    for name in shipped():
        if not any(part in name for part in args.parts or ['']):
            continue
        if name not in done:
            try:
                done[name] = check(name, args.shrink)
            except Exception as error:  # the others are checked all the same
                print(f'| {name} | {type(error).__name__}: {" ".join(str(error).split())} |')
                wrong += 1
                continue
            with open(args.out, 'a') as file:
                file.write(json.dumps(done[name]) + '\n')
        print(line(done[name]), flush=True)
        wrong += bool(done[name]['faults'])
    raise SystemExit(1 if wrong else 0)


if __name__ == '__main__':
    _cli.run(main)

#!/usr/bin/env python3
"""One step of tools/train.py, and a validation, of every distillation that MMRazor publishes.

Models and distillers are as published, data are two generated images of small size, and nothing is
downloaded. Each config ends in losses or in one line that says why not; anything else is a fault.

    python tools/check_mmrazor.py               all of them, those already done left out
    python tools/check_mmrazor.py mmdet/pkd     those with this in their path
"""
import argparse
import contextlib
import glob
import io
import json
import math
import multiprocessing
import os
import sys
import time
import traceback

import _cli

OUTCOMES = ('ok', 'one line', 'FAULT')
# Sides of a raw image (height, width), and by how much sizes in pipelines are divided.
IMAGES = dict(CIFAR=((32, 32), 1), mmpretrain=((96, 128), 4), mmdet=((96, 160), 8),
              mmseg=((128, 256), 8))
_heard = {}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('parts', nargs='*', metavar='PART', help='of the path of a config')
    parser.add_argument('--out', default='work_dirs/check_mmrazor.jsonl',
                        help='results, one line each; configs that stand in it are left out')
    parser.add_argument('--frozen', action='store_true',
                        help='the same with our FrozenTeacherDistill in the place of algorithms '
                        'with one teacher')
    return parser.parse_args()


def published():
    """Paths of the configs by their path below MMRazor's configs of distillations."""
    import mmrazor
    root = os.path.join(os.path.dirname(mmrazor.__file__), '.mim', 'configs', 'distill')
    return {os.path.relpath(path, root): path
            for path in sorted(glob.glob(os.path.join(root, '**', '*.py'), recursive=True))
            if 'datasets' not in path.split(os.sep)}


def register():
    """The data set and the metric that stand in for what would have to be downloaded."""
    import numpy as np
    from _random_images import record
    from mmengine.evaluator import BaseMetric
    from mmengine.hooks import Hook
    from mmengine.registry import DATASETS, HOOKS, METRICS
    from mmpretrain.datasets import BaseDataset

    @DATASETS.register_module(force=True)
    class GeneratedImages(BaseDataset):

        def __init__(self, scope, size, channels, classes, count, pipeline):
            self.scope, self.shape, self.count = scope, (*size, channels), count
            super().__init__('', metainfo=dict(classes=tuple(map(str, range(classes)))),
                             pipeline=pipeline)

        def load_data_list(self):
            height, width = self.shape[:2]
            return [dict(gt_label=i % len(self.metainfo['classes']), height=height, width=width,
                         img_path=f'{i}.png') for i in range(self.count)]

        def prepare_data(self, index):
            np.random.seed(index)
            data = record(self.scope, *self.shape, len(self.metainfo['classes']))
            return self.pipeline(dict(self.get_data_info(index), **data))

    @METRICS.register_module(force=True)
    class Counted(BaseMetric):

        def process(self, data_batch, data_samples):
            self.results += [1] * len(data_samples)

        def compute_metrics(self, results):
            return dict(images=len(results))

    @HOOKS.register_module(force=True)
    class OneStep(Hook):
        """Keeps what the step and the validation have found."""
        priority = 'LOWEST'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            _heard['losses'] = {name: float(value) for name, value in outputs.items()
                                if 'loss' in name}

        def after_val_epoch(self, runner, metrics=None):
            _heard['metrics'] = {name: float(value) for name, value in (metrics or {}).items()}


def small(config):
    """``config``, read already, with generated data and one iteration, in place."""
    from _random_images import number_of_classes
    scope = config.default_scope
    cifar = 'CIFAR' in repr(config.train_dataloader.to_dict())
    size, factor = IMAGES['CIFAR' if cifar else scope]
    classes = min(number_of_classes(config.model.to_dict()), 1000)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = config.get(name)
        if loader is None:
            continue
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset = generated(loader.dataset, scope, size, classes, factor)
    if scope == 'mmdet':
        config.val_evaluator = config.test_evaluator = dict(type='mmengine.Counted')
    loop = config.train_cfg
    kept = {key: loop[key] for key in ('type', 'by_epoch') if key in loop}
    by_iterations = 'max_iters' in loop
    config.train_cfg = dict(kept, **{'max_iters' if by_iterations else 'max_epochs': 1},
                            val_interval=1)
    config.default_hooks.pop('visualization', None)  # it reads image files
    config.param_scheduler = None  # of hundreds of steps
    config.custom_hooks = [*(config.get('custom_hooks') or []), dict(type='mmengine.OneStep')]
    without_files(config.model, factor)


def generated(dataset, scope, size, classes, factor):
    """The data set of a config with its innermost one generated."""
    from _random_images import shrunk
    if 'dataset' in dataset:
        dataset.dataset = generated(dataset.dataset, scope, size, classes, factor)
        return dataset
    pipeline = []
    for step in dataset.get('pipeline', []):
        if 'Load' in step['type']:
            continue
        for key in ('scale', 'crop_size'):
            if key in step:
                step[key] = shrunk(step[key], factor)
        pipeline.append(step)
    return dict(type='mmengine.GeneratedImages', scope=scope, size=size, channels=3,
                classes=classes, count=2, pipeline=pipeline)


def without_files(node, factor):
    """Nothing below ``node`` is read from a checkpoint, and batches have the images' size."""
    from _random_images import shrunk
    if isinstance(node, dict):
        for key in ('pretrained', 'teacher_ckpt'):
            if key in node:
                node[key] = None
        if 'ckpt_path' in node:
            del node['ckpt_path']
        if isinstance(node.get('init_cfg'), dict) and node['init_cfg'].get('type') == 'Pretrained':
            node['init_cfg'] = None
        images = node.get('data_preprocessor')
        if isinstance(images, dict) and isinstance(images.get('size'), (list, tuple)):
            images['size'] = shrunk(images['size'], factor)
        node = list(node.values())
    for item in node if isinstance(node, (list, tuple)) else ():
        without_files(item, factor)


def step(path, folder, frozen):
    """What one step of tools/train.py with the config at ``path`` gives; JSON values."""
    from autokd_mm.engine.config import load_config
    from autokd_mm.errors import ConfigError
    from autokd_mm.pairs.forms import as_frozen, read_forms
    try:
        config = load_config(path)
        read_forms(config)
        kind = config.model.type
        if frozen:
            as_frozen(config)
        small(config)
        changed = os.path.join(folder, 'config.py')
        config.dump(changed)
    except ConfigError as error:
        return dict(outcome='one line', why=str(error))
    import train
    sys.argv = ['train.py', changed, '--work-dir', os.path.join(folder, 'work')]
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            _cli.run(train.main)
    except SystemExit as end:
        lines = [line for line in error.getvalue().splitlines() if line.startswith('error: ')]
        if end.code and len(lines) == 1:
            return dict(outcome='one line', kind=kind, why=lines[0][len('error: '):])
        if end.code:
            return dict(outcome='FAULT', kind=kind, why=error.getvalue()[-300:])
    finite = all(math.isfinite(value) for value in _heard.get('losses', {}).values())
    return dict(outcome='ok' if finite and _heard.get('losses') else 'FAULT', kind=kind,
                why='' if finite else 'a loss is not finite', **_heard)


def check(path, frozen=False):
    """:func:`step` in a process and a folder of its own."""
    import tempfile
    here, there = multiprocessing.get_context('fork').Pipe()

    def work():
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, 'w') as nowhere, \
                contextlib.redirect_stdout(nowhere):
            try:
                found = step(path, folder, frozen)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                found = dict(outcome='FAULT', why=f'{type(error).__name__}: {error} '
                             f'({os.path.basename(where.filename)}:{where.lineno})')
        there.send(found)

    start = time.perf_counter()
    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    there.close()
    try:
        found = here.recv()
    except EOFError:
        found = dict(outcome='FAULT', why='the process died')
    process.join()
    return dict(found, seconds=round(time.perf_counter() - start, 1))


def row(name, result):
    losses = result.get('losses', {})
    parts = [f'{sum(value for key, value in losses.items() if key.startswith(start)):.3f}'
             if any(key.startswith(start) for key in losses) else ''
             for start in ('student.', 'distill.')]
    heard = 'teacher, too' if any(key.startswith('teacher.')
                                  for key in result.get('metrics', {})) else (
        'student' if result.get('metrics') else '')
    why = ' '.join(str(result.get('why', '')).split())
    return (f'| {name[:-3]} | {str(result.get("kind", "")).split(".")[-1]} | {parts[0]} | '
            f'{parts[1]} | {heard} | {result["seconds"]} | {result["outcome"]}'
            f'{": " + why if why else ""} |')


def main():
    args = parse_args()
    os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
    with open(args.out, 'a+') as file:
        file.seek(0)
        done = {result['config']: result for result in map(json.loads, file)}
    import autokd_mm  # noqa: F401  before the processes are forked
    register()
    print('| config | algorithm | student | distill | validated | seconds | |\n'
          '|---|---|---|---|---|---|---|', flush=True)
    faults = 0
    for name, path in published().items():
        if not any(part in name for part in args.parts or ['']):
            continue
        key = name + (' frozen' if args.frozen else '')
        if key not in done:
            done[key] = dict(check(path, args.frozen), config=key)
            with open(args.out, 'a') as file:
                file.write(json.dumps(done[key]) + '\n')
        print(row(name, done[key]), flush=True)
        faults += done[key]['outcome'] == 'FAULT'
    raise SystemExit(1 if faults else 0)


if __name__ == '__main__':
    _cli.run(main)

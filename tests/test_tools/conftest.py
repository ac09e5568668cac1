"""Distillations of detectors and segmentors that take seconds: a few small digit scenes. A table
of a dozen distillers, made up on the spot."""
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from autokd_mm.datasets.digit_scenes import ensure_scenes
from autokd_mm.engine.config import load_config
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpace, Shapes

ROOT = Path(__file__).resolve().parents[2]
SPACE = dict(transform=['logits_only', 'none', 'spatial_attention'], connector=['conv1x1'],
             intra=['none'], patch_grid=[2], inter=['none', 'sample'], distance=['l2', 'kl'],
             temperature=[4], feature_weight=[1, 5], logits=['none', 'kl'], logits_temperature=[4],
             logits_weight=[1])
SHAPES = dict(batch=64, channels=8, height=4, width=4, classes=10)
BASE = dict(held_out_loss=1.0, calibrated_loss=1.0, gap=0.5, metric=0.5, seconds=1.0)


@pytest.fixture
def dense_config(tmp_path):
    """``dense_config('fitnet', 'retinanet')`` writes the config of a method and a pair with 8
    scenes of 64 pixels and a teacher that knows nothing; returns its path."""

    def write(method, pair):
        ensure_scenes(str(tmp_path / 'scenes'), train=8, val=4, size=64)
        path = ROOT / 'configs' / 'distill' / f'{method}_digit_scenes_{pair}.py'
        teacher = tmp_path / 'random_teacher.pth'
        config = load_config(str(path), dict(data_root=str(tmp_path / 'scenes'),
                                             teacher_ckpt=str(teacher)))
        with torch.random.fork_rng(), DefaultScope.overwrite_default_scope(config.default_scope):
            torch.manual_seed(0)
            network = MODELS.build(config.model.teacher)
            network.init_weights()
        torch.save(dict(state_dict=network.state_dict()), str(teacher))
        # A student that knows nothing would find nothing, and then there are no metrics.
        test_cfg = config.model.architecture.test_cfg
        if 'mode' not in test_cfg:
            test_cfg.get('rcnn', test_cfg).score_thr = 0
        config.train_dataloader.batch_size = 4
        config.train_cfg.update(max_epochs=1, val_interval=1)
        config.default_hooks.checkpoint.interval = 1
        config.default_hooks.logger.interval = 1
        result = tmp_path / f'{method}_{pair}.py'
        config.dump(str(result))
        return result

    return write


@pytest.fixture
def write_table(tmp_path):
    """``write_table(name, head, columns, rows)`` writes a file as tools/benchmarks/make_table.py
    does; returns its path."""

    def write(name, head, columns, rows):
        lines = [f'# {json.dumps(head)}', ','.join(columns)]
        lines += [','.join(map(str, row)) for row in rows]
        path = tmp_path / f'{name}.csv.gz'
        with gzip.open(str(path), 'wt') as file:
            file.write('\n'.join(lines) + '\n')
        return path

    return write


@pytest.fixture
def table(tmp_path):
    """A file as tools/benchmarks/make_table.py writes it."""
    space = DistillerSpace(SPACE, Shapes(**SHAPES))
    about = dict(space=SPACE, shapes=SHAPES, baseline={'0': BASE, '1': BASE})
    lines = ['# ' + json.dumps(about), 'index,seed,state,gap,metric,seconds']
    metric = np.random.RandomState(0).permutation(space.count()) / space.count()
    lines += [f'{i},{seed},complete,0.5,{value + 0.01 * seed},{1 + i % 3}'
              for i, value in enumerate(metric) for seed in (0, 1)]
    path = tmp_path / 'tiny.csv.gz'
    with gzip.open(str(path), 'wt') as file:
        file.write('\n'.join(lines) + '\n')
    return path

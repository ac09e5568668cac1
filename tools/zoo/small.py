"""A config of the zoo with small numbers and our data, and its training by its package alone."""
import copy
import math
import os

from zoo import data, shrinking


def load(path):
    from mmengine.config import Config
    return Config.fromfile(path)


def small(path, task, root, level, work_dir):
    """The config at ``path`` with small numbers and our data; one step is its training."""
    from mmengine.registry import DefaultScope
    config = load(path)
    scope = config.get('default_scope') or path.split('.mim')[0].split(os.sep)[-2]
    config.default_scope = scope
    with DefaultScope.overwrite_default_scope(scope):
        classes = shrinking.shrink(config, task, *level)
        data.use(config, task, classes, root)
    config.work_dir = work_dir
    _short(config)
    return config


def _short(config):
    """One epoch, or one iteration, on the CPU."""
    train = config.train_cfg
    by_epoch = train.get('by_epoch', 'Iter' not in str(train.get('type')))
    train.update(dict(max_epochs=1) if by_epoch else dict(max_iters=1), val_interval=1)
    for key in ('val_begin', 'dynamic_intervals'):
        train.pop(key, None)
    schedule = config.get('param_scheduler') or []
    for each in schedule if isinstance(schedule, (list, tuple)) else [schedule]:
        each.begin = 0
        if each.get('by_epoch', True) == by_epoch:
            each.update({key: 1 for key in ('end', 'T_max') if key in each})
            if 'milestones' in each:
                each.milestones = [1]
    optimizer = config.optim_wrapper
    if 'Amp' in str(optimizer.get('type')):  # half precision is of GPUs
        optimizer.type = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fp16'):
            optimizer.pop(key, None)
    if 'lr' in optimizer.get('optimizer', {}):  # without pretrained weights the schedule's is high
        optimizer.optimizer.lr *= 0.01
    for loop in ('val_cfg', 'test_cfg'):
        if config.get(loop) and config[loop].get('fp16'):
            config[loop].fp16 = False
    if config.get('env_cfg'):
        config.env_cfg.update(cudnn_benchmark=False)
    config.default_hooks.logger.interval = 1
    config.default_hooks.checkpoint.update(interval=1)
    config.randomness = dict(seed=0)


def plain(config):
    """One step of the training of ``config`` with its own package, then a validation.

    Returns:
        How many parameters the network has.
    """
    from mmengine.runner import Runner
    config = copy.deepcopy(config)
    config.train_dataloader.num_batch_per_epoch = 1
    config.default_hooks.checkpoint.update(interval=-1)
    config.default_hooks.checkpoint.pop('save_best', None)
    config.default_hooks.checkpoint.save_last = False
    runner = Runner.from_cfg(config)
    runner.train()
    loss = runner.message_hub.get_scalar('train/loss').current()
    if not math.isfinite(loss):
        raise FloatingPointError(f'the loss of its first step is {loss}')
    return sum(value.numel() for value in runner.model.parameters())

#!/usr/bin/env python3
"""Train a model: the config a search wrote, one of configs/distill, or any OpenMMLab config."""
import os

import _cli


def parse_args():
    parser = _cli.parser(__doc__.splitlines()[0])
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate by the total batch size')
    parser.add_argument('--resume', nargs='?', const='auto',
                        help='go on from a checkpoint, by default the last one in the work dir')
    parser.add_argument('--teacher-bank', metavar='DIR',
                        help='read the teacher from this bank instead of running it; written first '
                        'where there is none, with the defaults of tools/cache_teacher.py')
    parser.add_argument('--twin', action='store_true',
                        help='then train the student alone, with the same seed, schedule and data, '
                        'in WORK_DIR/twin, and tell the gain; what is finished or interrupted '
                        'already is gone on with')
    return parser.parse_args()


def resume(config, which):
    """Go on from a checkpoint; where the work dir has none yet, ``load_from`` still counts."""
    from autokd_mm.engine.resuming import latest_checkpoint, refuse_another_training
    last = which
    if which == 'auto':
        last = latest_checkpoint(config.work_dir)
        if last is not None:
            refuse_another_training(config)
    config.resume = last is not None
    if last is not None:
        config.load_from = last


def train(config, *hooks):
    """Train a config; returns the runner."""
    from mmengine.runner import Runner

    from mmengine.dist import is_main_process

    from autokd_mm.engine.hooks import TrainingStartHook
    from autokd_mm.engine.resuming import remember_training
    from autokd_mm.optim import refusing, usable
    if is_main_process():
        remember_training(config)  # before MMEngine builds what it describes
    distills = 'distiller' in config.model
    optim_wrapper = usable(config.optim_wrapper, distills)
    if distills:
        from autokd_mm.models.algorithms.mmrazor_teacher import (refuse_other_weights,
                                                                 refuse_unreadable)
        refuse_unreadable(config.model)  # MMRazor's algorithms would not say whose it is
    runner = Runner.from_cfg(config)
    if distills:
        refuse_other_weights(runner.model, config.model.get('teacher_ckpt'))
    for hook in (TrainingStartHook(), *hooks):
        runner.register_hook(hook)
    with refusing(config.optim_wrapper, 'this network'):
        runner.optim_wrapper = runner.build_optim_wrapper(optim_wrapper)
    runner.train()
    return runner


def train_with_twin(config, start):
    """Train a distillation, then its undistilled twin from ``start`` (a checkpoint or ``None``),
    and tell the gain."""
    import gc

    from mmengine.dist import is_main_process

    from autokd_mm.engine.twin import FinalMetricsHook, gain_in_words, twin_of
    distilled, alone = FinalMetricsHook(), FinalMetricsHook()
    seed = train(config, distilled).seed
    gc.collect()  # the teacher
    twin = twin_of(config, seed)
    twin.load_from = start
    resume(twin, 'auto')
    train(twin, alone)
    if is_main_process():
        print('\n'.join(gain_in_words(config, distilled.metrics, alone.metrics)), flush=True)


def main():
    args = parse_args()
    config = _cli.load(args)
    from autokd_mm.errors import ConfigError
    from autokd_mm.pairs.forms import refuse_without_launcher
    if 'SearchLoop' in str((config.get('train_cfg') or {}).get('type')):
        raise ConfigError(f'train_cfg.type: {args.config} is a search config; run it with '
                          'tools/search.py and train with the best_distiller.py it writes')
    _cli.require(config, args.config, 'train_dataloader', 'train_cfg', 'optim_wrapper')
    if args.twin:
        from autokd_mm.engine.config import check_writable
        from autokd_mm.engine.twin import FOLDER, refuse_without_twin
        refuse_without_twin(config)
        check_writable(os.path.join(config.work_dir, FOLDER), '--twin')
    refuse_without_launcher(config, args.launcher)
    _cli.start_distributed(config, args.launcher)
    if args.teacher_bank:
        from autokd_mm.teacher.bank_config import train_from
        _cli.teacher_bank(config, args.teacher_bank, args.launcher)
        train_from(config, args.teacher_bank)
    if args.amp:
        from mmengine.device import get_device
        if get_device() in ('cpu', 'mps'):
            raise ConfigError('--amp: mixed precision needs a GPU, there is none here')
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (config.get('auto_scale_lr') or {}):
            raise ConfigError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size')
        config.auto_scale_lr.enable = True
    start = config.get('load_from')
    if args.resume or args.twin:
        resume(config, args.resume or 'auto')
    if config.get('load_from'):
        from autokd_mm.models.algorithms.teacher import read_checkpoint
        read_checkpoint(config.load_from, '--resume' if config.get('resume') else 'load_from')
    if args.twin:
        train_with_twin(config, start)
    else:
        train(config)


if __name__ == '__main__':
    _cli.run(main)

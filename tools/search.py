#!/usr/bin/env python3
"""Search a distiller: ``tools/search.py configs/search/digits.py``.

Writes study.journal, bank/, leaderboard.csv and best_distiller.py into the work dir.
"""
import os

import _cli


def parse_args():
    parser = _cli.parser(__doc__.splitlines()[0])
    parser.add_argument('--trials', type=int, help='finished trials at which the search ends')
    parser.add_argument('--resume', action='store_true',
                        help='go on with the study in the work dir')
    parser.add_argument('--max-hours', type=float, help='begin nothing that would end later than '
                        'so many hours from now; go on with --resume')
    parser.add_argument('--dry-run', action='store_true',
                        help="print the space, the teacher's accuracy and the layers, then stop")
    return parser.parse_args()


def become_worker(launcher):
    """Every process of a launcher is a worker of its own on the shared study."""
    if launcher == 'none':
        return
    import torch
    rank, size, local = _cli.process(launcher)
    os.environ['AUTOKD_WORKER'], os.environ['AUTOKD_WORKERS'] = str(rank), str(size)
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())


def main():
    args = parse_args()
    from autokd_mm.engine import lock, time_limit
    time_limit.listen()
    config = _cli.load(args)
    become_worker(args.launcher)
    from autokd_mm.engine.storage import hide_password
    from autokd_mm.space.errors import ConfigError
    if 'SearchLoop' not in str((config.get('train_cfg') or {}).get('type')):
        raise ConfigError(f'train_cfg.type: {args.config} is not a search config (its train loop '
                          "is not 'mmrazor.SearchLoop'); did you mean tools/train.py?")
    if args.trials is not None:
        config.train_cfg.trials = args.trials
    if args.max_hours is not None:
        config.train_cfg.max_hours = args.max_hours
    hide_password(config)  # before MMEngine writes the config down
    config.train_cfg.resume = args.resume
    config.train_cfg.dry_run = args.dry_run
    config.resume = False  # of MMEngine: the study is resumed, not a checkpoint
    if lock.workers() > 1:
        config.experiment_name = f'search_worker{lock.worker()}'
    from mmengine.runner import Runner
    Runner.from_cfg(config).train()


if __name__ == '__main__':
    _cli.run(main)

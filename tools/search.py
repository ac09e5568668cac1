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
    parser.add_argument('--epochs', type=int, help='of the full training, where it shall be longer '
                        'or shorter than the config has it; with --resume for a finished search')
    parser.add_argument('--max-hours', type=float, help='begin nothing that would end later than '
                        'so many hours from now; go on with --resume')
    parser.add_argument('--ranks-per-trial', type=int, help='processes of the launcher that share '
                        'the batches of a trial, as train_cfg.ranks_per_trial')
    parser.add_argument('--remember', nargs='?', const='', metavar='FILE', help='add the finished '
                        'search to an experience (~/.autokd_mm/experience.json), for '
                        'train_cfg.sampler.experience of later ones')
    parser.add_argument('--remember-as', metavar='NAME', help='of the task in the '
                        'experience: those of one name are the same task; by default that of a '
                        'config of the package, or both networks and the images')
    parser.add_argument('--dry-run', action='store_true',
                        help="print the space, the teacher's accuracy and the layers, then stop")
    args = parser.parse_args()
    if args.remember_as and args.remember is None:
        args.remember = ''
    return args


def use_launcher(config, launcher):
    """Every process of a launcher is a worker of its own on the shared study; where trials need
    several (``ranks_per_trial``), all of them are one worker."""
    from autokd_mm.proxy.ranks import check_ranks
    ranks = config.train_cfg.get('ranks_per_trial', 1)
    rank, size, local = _cli.process(launcher)
    if ranks != 1:
        check_ranks(ranks, size)
        _cli.start_distributed(config, launcher)
        return
    config.launcher = 'none'  # of MMEngine: workers meet at the study
    if launcher == 'none':
        return
    import torch
    os.environ['AUTOKD_WORKER'], os.environ['AUTOKD_WORKERS'] = str(rank), str(size)
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())


def main():
    args = parse_args()
    from autokd_mm.study import lock, time_limit
    time_limit.listen()
    config = _cli.load(args)
    from autokd_mm.errors import ConfigError
    from autokd_mm.study.storage import hide_password
    if 'SearchLoop' not in str((config.get('train_cfg') or {}).get('type')):
        raise ConfigError(f'train_cfg.type: {args.config} is not a search config (its train loop '
                          "is not 'mmrazor.SearchLoop'); did you mean tools/train.py?")
    if args.trials is not None:
        config.train_cfg.trials = args.trials
    if args.epochs is not None:
        config.train_cfg.full_epochs = args.epochs
    if args.max_hours is not None:
        config.train_cfg.max_hours = args.max_hours
    if args.ranks_per_trial is not None:
        config.train_cfg.ranks_per_trial = args.ranks_per_trial
    if args.remember is not None and not args.dry_run:
        look_for_experience(experience_of(args))
    use_launcher(config, args.launcher)
    hide_password(config)  # before MMEngine writes the config down
    config.train_cfg.resume = args.resume
    config.train_cfg.dry_run = args.dry_run
    config.resume = False  # of MMEngine: the study is resumed, not a checkpoint
    if lock.workers() > 1:
        config.experiment_name = f'search_worker{lock.worker()}'
    from mmengine.runner import Runner
    with _cli.config_put_back(config, always=args.dry_run):
        Runner.from_cfg(config).train()
    from mmengine.dist import is_main_process
    if args.remember is not None and not args.dry_run and is_main_process():
        remember(args, config)


def experience_of(args):
    from autokd_mm.experience import OWN
    return os.path.expanduser(args.remember or OWN)


def look_for_experience(path):
    """Refuse one that cannot be added to before the search, and not hours later."""
    from autokd_mm.engine.config import check_file
    from autokd_mm.experience import read_whole
    check_file(path, '--remember')
    read_whole(path)


def remember(args, config):
    """Add what the search has found out to an experience, where no other worker is at it any more:
    the last one knows all. Of several that end together each replaces what the others have added.
    """
    from autokd_mm import experience
    from autokd_mm.errors import UserError
    from autokd_mm.study.status import status_of
    path, storage = experience_of(args), config.train_cfg.get('storage')
    try:
        others = [run.what for run in status_of(config.work_dir, storage).runs
                  if run.lives is not False]
        if others:
            print(f'not remembered by this worker: {others[0]} is under way, and who ends last '
                  'remembers; later: the same command again with --resume')
            return
        task = experience.of_search(config.work_dir, storage, task_name(args, config))
    except UserError as error:  # the search itself is finished and written
        print(f'nothing to remember: {error}')
        return
    count = experience.remember(path, task)
    print(f'remembered as {task.name} in {path}, which has {count} search{"es" * (count != 1)} now')


def task_name(args, config):
    """In the experience, where tasks of one name are the same: every config that `autokd pair`
    writes may be called pair.py."""
    from autokd_mm.cli.shipped import configs
    from autokd_mm.study.about import get_about
    from autokd_mm.study.about import task_name as name_of
    from autokd_mm.study.status import open_studies
    stem = os.path.splitext(os.path.basename(args.config))[0]
    if args.remember_as or f'search/{stem}' in configs():
        return args.remember_as or stem
    study = open_studies(config.work_dir, config.train_cfg.get('storage'), briefly=True)[0]
    return (study and name_of(get_about(study))) or \
        f'{stem}_{os.path.basename(os.path.abspath(config.work_dir))}'


if __name__ == '__main__':
    _cli.run(main)

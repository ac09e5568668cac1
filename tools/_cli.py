"""What the Python tools share: OpenMMLab's arguments, launchers, one-line errors."""
import argparse
import errno
import logging
import os
import sys

# A checkout that is not installed works from any folder; an installed package comes first.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_NO_ROOM = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
# Where each launcher says which process this is, how many there are, and which GPU is its own.
_LAUNCHERS = dict(
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'))


def parser(description, epilog=None):
    """An argument parser with the arguments every tool has."""
    from mmengine.config import DictAction

    class KeyValue(DictAction):

        def __call__(self, parser, namespace, values, option_string=None):
            for value in values:
                if '=' not in value:
                    parser.error(f'{option_string} {value}: must be KEY=VALUE')
            super().__call__(parser, namespace, values, option_string)

    result = argparse.ArgumentParser(description=description, epilog=epilog)
    result.add_argument('config', help='config file')
    result.add_argument('--work-dir', help='where logs, checkpoints and results go')
    result.add_argument('--cfg-options', nargs='+', action=KeyValue, metavar='KEY=VALUE',
                        help='override settings of the config; data_root and teacher_ckpt reach '
                        'every place in it')
    result.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
                        default='none', help='job launcher')
    # torch.distributed.launch before 2.0 passes --local_rank, later versions --local-rank.
    result.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    return result


def load(args):
    """The config of ``args``; its work dir is the command line's, the config's, or the stem's."""
    from autokd_mm.engine.config import check_writable, load_config
    config = load_config(args.config, args.cfg_options)
    if args.work_dir:
        config.work_dir = args.work_dir
    elif not config.get('work_dir'):
        stem = os.path.splitext(os.path.basename(args.config))[0]
        config.work_dir = os.path.join('./work_dirs', stem)
    check_writable(config.work_dir)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return config


def start_distributed(config, launcher):
    """Set the launcher; without CUDA the processes talk through gloo, which MMEngine cannot
    start on its own."""
    config.launcher = launcher
    if launcher == 'none':
        return
    import torch
    if torch.cuda.is_available():
        return
    config.env_cfg.dist_cfg.backend = 'gloo'
    if config.get('model_wrapper_cfg') is None:
        # MMEngine would give the wrapper the local rank as a device, which a CPU model refuses.
        config.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
            find_unused_parameters=config.get('find_unused_parameters', False))
    if launcher == 'pytorch':
        torch.distributed.init_process_group('gloo')


def process(launcher):
    """Rank, number of processes and rank on this machine, before any process group is there."""
    if launcher == 'none':
        return 0, 1, 0
    return tuple(int(os.environ.get(name, default))
                 for name, default in zip(_LAUNCHERS[launcher], ('0', '1', '0')))


def teacher_bank(config, path, launcher, **how):
    """Write the bank of a training's teacher at ``path``, or mend it, with all processes of the
    launcher; ``how`` goes to ``TeacherBank``. They meet at the files and not in a process group."""
    import shutil
    import time

    import torch

    from autokd_mm.bank.files import filled
    from autokd_mm.report.progress import Display
    from autokd_mm.teacher.full_bank import TeacherBank
    rank, size, local = process(launcher)
    device = 'cpu'
    if torch.cuda.is_available():
        device = f'cuda:{local % torch.cuda.device_count()}'
    bank = TeacherBank(config, path, device=torch.device(device), **how)
    there = filled(path)

    def say(line):
        if rank == 0:
            print(line, flush=True)

    parent = os.path.dirname(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    say(f'teacher bank {path}: {bank.in_words()}' + (
        '' if there else f'; {shutil.disk_usage(parent).free / 2**20:,.1f} MiB are free'))
    start = time.perf_counter()
    with Display(enabled=rank == 0).running() as display:
        bank.open_or_build(lambda line: say(f'warning: {line}'), rank / size, display.show)
    say(f'{"checked" if there else "written"} in {time.perf_counter() - start:.1f} s')


def end_distributed():
    """End a rank when all ranks are done, and without destructors: those of gloo's threads abort
    the process now and then, whether the process group was destroyed before or not."""
    import torch
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        leave(0)


def leave(code):
    """``sys.exit``, of a rank at once: another one may be dead, and nothing may wait for it."""
    torch = sys.modules.get('torch')
    if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def innermost(error):
    """The mistake as it was raised: builders of MMEngine raise it again with more words."""
    while isinstance(error.__context__, type(error)):
        error = error.__context__
    return error


def fail(message):
    print('error: ' + ' '.join(str(message).split()), file=sys.stderr)
    leave(2)


def run(main):
    """Call ``main``; a mistake of the user's is one line on standard error and exit code 2.

    Faults of the program keep their traceback.
    """
    try:
        from autokd_mm.errors import ConfigError
        from autokd_mm.proxy.ranks import RankLost
        from autokd_mm.safe_load import use_everywhere
    except ImportError as error:
        sys.exit(f'error: {error}')
    use_everywhere()
    try:
        main()
        end_distributed()
    except ConfigError as error:
        fail(innermost(error))
    except PermissionError as error:
        fail(f'{error.filename}: {error.strerror}')
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        fail(f'--work-dir: {error.filename or "the disk"}: {error.strerror}; what was finished is '
             'kept, go on with --resume')
    except RankLost as lost:
        print(f'{lost}; what was finished is kept, go on with --resume', file=sys.stderr)
        leave(1)
    except KeyboardInterrupt:
        print('interrupted; what was finished is kept, go on with --resume', file=sys.stderr)
        leave(130)

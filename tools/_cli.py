"""What the Python tools share: OpenMMLab's arguments, launchers, one-line errors."""
import argparse
import logging
import os
import sys
import time
import traceback

# A checkout that is not installed works from any folder; an installed package comes first.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Set to 1 (or --debug given) it shows where a mistake was noticed.
_DEBUG = 'AUTOKD_DEBUG'
# Where each launcher says which process this is, how many there are, and which GPU is its own.
_LAUNCHERS = dict(
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'))
# Seconds that the other ranks of a machine leave to its first one to tell a mistake that all make:
# when that has ended, torchrun ends them, which takes some seconds where it has just begun.
_FIRST_RANK = 30.0
# What each launcher sets besides where a process group is made.
_MEETING_PLACES = dict(slurm=('SLURM_NODELIST', ), pytorch=('MASTER_ADDR', 'MASTER_PORT'),
                       mpi=('MASTER_ADDR', ))


def parser(description, epilog=None):
    """An argument parser with the arguments every tool has."""
    from mmengine.config import DictAction

    class KeyValue(DictAction):

        def __call__(self, parser, namespace, values, option_string=None):
            for value in values:
                if '=' not in value:
                    parser.error(f'{option_string} {value}: must be KEY=VALUE')
            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(1000)  # some package sets a million, which takes minutes
            try:
                super().__call__(parser, namespace, values, option_string)
            except AssertionError as error:  # brackets that are not closed
                parser.error(f'{option_string} {" ".join(values)}: {error}')
            except RecursionError:  # MMEngine's answer to brackets behind a word
                parser.error(f'{option_string} {" ".join(values)}: a list is [a,b]; of a dict name '
                             'each key, KEY.a=1 KEY.b=2')
            finally:
                sys.setrecursionlimit(limit)

    class Parser(argparse.ArgumentParser):

        def error(self, message):
            leave_it_to_the_first_rank()
            super().error(message)

    class Debug(argparse.Action):
        """In the environment, so that it holds before and behind the arguments, and in children."""

        def __call__(self, parser, namespace, values, option_string=None):
            os.environ[_DEBUG] = '1'

    result = Parser(description=description, epilog=epilog)
    result.add_argument('config', help='config file, or the name of one that comes with the '
                        'package: digits, search/digits')
    result.add_argument('--work-dir', help='where logs, checkpoints and results go')
    result.add_argument('--cfg-options', nargs='+', action=KeyValue, metavar='KEY=VALUE',
                        help='override settings of the config; data_root and teacher_ckpt reach '
                        'every place in it')
    result.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'],
                        default='none', help='job launcher')
    result.add_argument('--debug', action=Debug, nargs=0,
                        help=f'show the traceback of a mistake ({_DEBUG}=1: in every tool)')
    # torch.distributed.launch before 2.0 passes --local_rank, later versions --local-rank.
    result.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    return result


def load(args):
    """The config of ``args``; its work dir is the command line's, the config's, or the stem's."""
    from autokd_mm.cli.shipped import config_file
    from autokd_mm.datasets.channel_order import settle_order
    from autokd_mm.engine.config import check_writable, load_config
    from autokd_mm.engine.runner_keys import check_runner_keys
    from autokd_mm.pairs.forms import read_forms
    config = load_config(config_file(args.config), args.cfg_options)
    require(config, args.config, 'model')
    check_runner_keys(config)
    if getattr(args, 'launcher', None) == 'none':  # of the command line; a tool may have none
        args.launcher = config.get('launcher') or 'none'
        check_launcher(args.launcher)
    read_forms(config)
    settle_order(config)
    if args.work_dir:
        config.work_dir = args.work_dir
    elif not config.get('work_dir'):
        stem = os.path.splitext(os.path.basename(args.config))[0]
        config.work_dir = os.path.join('./work_dirs', stem)
    check_writable(config.work_dir)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return config


def config_put_back(config, always):
    """What MMEngine has written as the config into a work dir says what is there, also behind a
    command that only looks, or that is refused; it may be the file that the user has written."""
    from autokd_mm.whole_file import put_back
    return put_back(os.path.join(config.work_dir, os.path.basename(config.filename)), always)


def require(config, path, *keys):
    """Refuse a config without one of ``keys``, which MMEngine would miss later and less clearly."""
    from autokd_mm.errors import ConfigError
    for key in keys:
        if config.get(key) is None:
            raise ConfigError(f'CONFIG: {path} has no {key}')


def start_distributed(config, launcher):
    """Set the launcher; without CUDA the processes talk through gloo, which MMEngine cannot
    start on its own."""
    config.launcher = launcher
    if launcher == 'none':
        return
    check_launcher(launcher, _MEETING_PLACES[launcher])
    import torch
    if torch.cuda.is_available():
        return
    config.env_cfg.dist_cfg.backend = 'gloo'
    if config.get('model_wrapper_cfg') is None:
        # MMEngine would give the wrapper the local rank as a device, which a CPU model refuses.
        config.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
            find_unused_parameters=config.get('find_unused_parameters', False))
    _meet(launcher)
    torch.distributed.init_process_group('gloo')


def _meet(launcher):
    """Say in torch's words who this process is and where all meet, as MMEngine does with CUDA."""
    if launcher == 'pytorch':
        return
    for name, value in zip(_LAUNCHERS['pytorch'], process(launcher)):
        os.environ[name] = str(value)
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:  # of Slurm, which has started this process
        os.environ['MASTER_ADDR'] = _first_node(os.environ['SLURM_NODELIST'])


def _first_node(nodes):
    import subprocess

    from autokd_mm.errors import ConfigError
    try:
        return subprocess.run(['scontrol', 'show', 'hostname', nodes], check=True,
                              capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        raise ConfigError(f'--launcher slurm: `scontrol show hostname {nodes}` gives no node; '
                          'set MASTER_ADDR to the node of the first process') from None


def check_launcher(launcher, also=()):
    """Refuse one that has not started this process."""
    for name in (*_LAUNCHERS.get(launcher, ())[:2], *also):
        if name not in os.environ:
            from autokd_mm.errors import ConfigError
            raise ConfigError(f'--launcher {launcher}: the environment has no {name}; start with '
                              'the launcher, as tools/dist_train.sh and tools/slurm_train.sh do')


def process(launcher):
    """Rank, number of processes and rank on this machine, before any process group is there."""
    if launcher == 'none':
        return 0, 1, 0
    found = [os.environ.get(name, default)
             for name, default in zip(_LAUNCHERS[launcher], ('0', '1', '0'))]
    for name, text in zip(_LAUNCHERS[launcher], found):
        if not (text.isascii() and text.isdigit()):
            from autokd_mm.errors import ConfigError
            raise ConfigError(f'--launcher {launcher}: {name}={text!r}: must be a whole number')
    return tuple(map(int, found))


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


def says_that_a_rank_is_dead(error):
    """Of gloo or NCCL, to a rank that waits for another one; that one has told its own reason."""
    text = str(error)
    gone = ('closed by peer', 'reset by peer', 'Broken pipe')
    return isinstance(error, RuntimeError) and (
        'gloo/transport' in text and any(word in text for word in gone)
        or 'remote process exited' in text)


def debugging():
    return os.environ.get(_DEBUG, '') not in ('', '0')


def leave_it_to_the_first_rank():
    """Wait to be ended with it, so that what is wrong is said once and not by every rank."""
    if os.environ.get('LOCAL_RANK', '0') != '0':
        time.sleep(_FIRST_RANK)


def fail(message):
    leave_it_to_the_first_rank()
    print('error: ' + ' '.join(str(message).split()), file=sys.stderr)
    leave(2)


def run(main):
    """Call ``main``; a mistake of the user's is one line on standard error and exit code 2.

    A fault of the program keeps its traceback, and a line says so. Ctrl-C is 130, and 1 is a rank
    that has lost another one or a fault.
    """
    try:
        from autokd_mm.engine.mistakes import mistake
        from autokd_mm.proxy.ranks import RankLost
        from autokd_mm.safe_load import use_everywhere
    except ImportError as error:
        if debugging():
            traceback.print_exc()
        fail(error)
    use_everywhere()
    try:
        main()
        end_distributed()
    except RankLost as lost:
        print(f'{lost}; what was finished is kept, go on with --resume', file=sys.stderr)
        leave(1)
    except KeyboardInterrupt:
        print('interrupted; what was finished is kept, go on with --resume', file=sys.stderr)
        leave(130)
    except Exception as error:  # told apart by what has raised it
        made = mistake(error)
        if made is None and says_that_a_rank_is_dead(error) and not debugging():
            print(f'another rank has ended ({str(error).splitlines()[0]}); what was saved is '
                  'kept, go on with --resume', file=sys.stderr)
            leave(1)
        if made is None or debugging():
            traceback.print_exc()
        if made is not None:
            fail(made)
        print('this is a defect of autokd_mm or of what it runs on, not a mistake of yours; please '
              'report it with the lines above', file=sys.stderr)
        leave(1)

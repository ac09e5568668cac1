"""``autokd COMMAND ...``: runs the tool of that name, from any folder.

The tools stay the scripts that OpenMMLab's users know, in ``tools/``; a command runs the same file,
so that there is one set of arguments, messages and exit codes.
"""
import importlib
import os
import sys
from typing import List, Optional

from autokd_mm.cli import shipped
from autokd_mm.errors import ConfigError, UserError, nearest
from autokd_mm.installed import INSTALL, OPENMMLAB, distributions_by_name, for_training
from autokd_mm.version import __version__

# command -> its script in tools/, and what it does
_TOOLS = {
    'search': ('search', 'search a distiller'),
    'pair': ('make_pair', 'write a search config from the names of two networks'),
    'recommend': ('recommend', 'write the recipes that experience ranks first, without a trial'),
    'experience': ('make_experience', 'make an experience of finished searches, for later ones'),
    'train': ('train', 'train with the config a search wrote, or with any other'),
    'test': ('test', 'test a checkpoint'),
    'export': ('export_student', "write the student's weights alone, or an ONNX file"),
    'visualize': ('visualize_distill', 'draw what a distiller compares'),
}
_OWN = {
    'configs': 'list the configs of the package, or those with a WORD in their name',
    'status': 'say how far a search is: autokd status WORK_DIR',
    'report': 'write a page about a search: autokd report WORK_DIR',
    'view': 'make the study that optuna-dashboard shows: autokd view WORK_DIR',
    'doctor': 'look at the installation: one screen for a bug report',
}


def main(argv: Optional[List[str]] = None) -> int:
    """Run a command.

    Args:
        argv: the command and its arguments; those of this process by default.

    Returns:
        The exit code of a command of our own. A tool ends the process as its script does: 2 and
        one line for a mistake, 130 for Ctrl-C.
    """
    command, *args = (sys.argv[1:] if argv is None else argv) or ['']
    for stream in (sys.stdout, sys.stderr):  # a name that a terminal cannot show ends nothing
        if getattr(stream, 'errors', None) == 'strict' and hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    if command in ('-h', '--help'):
        print(_help())
        return 0
    if command == '--version':
        print(f'autokd_mm {__version__}')
        return 0
    try:
        code = _run(command, args)
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()
        return code
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # `autokd status DIR | head -1` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor does Python find it at its end
        return 141


def _run(command: str, args: List[str]) -> int:
    if command in _TOOLS:
        _run_tool(command, args)
        return 0
    if command not in _OWN:
        if not command:
            print(_help(), file=sys.stderr)
            return 2
        known = [*_TOOLS, *_OWN]
        raise ConfigError(f'COMMAND: {nearest(command, known, shown=len(known))}')
    if command == 'status':
        from autokd_mm.cli.status import show
        return show(args)
    if command == 'report':
        from autokd_mm.cli.report import write
        return write(args)
    if command == 'view':
        from autokd_mm.cli.view import make
        return make(args)
    if args and args[0] in ('-h', '--help'):
        print(f'usage: autokd {command}{" [WORD]" * (command == "configs")}\n\n{_OWN[command]}')
        return 0
    if command == 'configs':
        print('\n'.join(name for name in shipped.configs() if all(word in name for word in args)))
        return 0
    if args:
        raise ConfigError(f'autokd doctor takes no arguments, not {args[0]!r}')
    from autokd_mm.cli.doctor import examine
    return examine()


def _run_tool(command: str, args: List[str]) -> None:
    if not for_training(distributions_by_name(*OPENMMLAB)):
        raise ConfigError(f'autokd {command}: the search alone is set up; what a training needs '
                          f'comes with {INSTALL}')
    sys.argv = [f'autokd {command}', *args]  # what `--help` and argparse's errors call it
    sys.path.insert(0, str(shipped.root() / 'tools'))  # as Python does for a script
    tool = importlib.import_module(_TOOLS[command][0])
    importlib.import_module('_cli').run(tool.main)


def _help() -> str:
    lines = {command: text for command, (_, text) in _TOOLS.items()}
    lines.update(_OWN)
    return '\n'.join(
        ['usage: autokd COMMAND [ARGUMENTS]', '', 'Distillers found by Monte Carlo tree search.',
         '', *(f'  {command:<10} {text}' for command, text in lines.items()), '',
         'autokd COMMAND --help shows the arguments. A CONFIG is a file or a name that `autokd',
         'configs` lists: autokd search digits'])


if __name__ == '__main__':
    sys.exit(main())

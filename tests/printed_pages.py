"""What a page of Markdown tells its reader to write and to run, done."""
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r'^```(\w*)[^\n]*\n(.*?)^```', re.S | re.M)
# A command of `autokd`, and the script in tools/ that it runs.
SCRIPTS = dict(search='search', pair='make_pair', train='train', test='test',
               export='export_student', visualize='visualize_distill')


def blocks(page, language):
    """The blocks of code of one language, in order."""
    return [code for found, code in _BLOCK.findall(page) if found == language]


def steps(page):
    """What is to be done, in order: ``('file', name, text)`` for a block of Python whose first
    line names a file, and ``('run', words)`` for each command."""
    for language, code in _BLOCK.findall(page):
        if language == 'python' and re.match(r'# \S+\.py\n', code):
            yield 'file', code.split()[1], code
        elif language == 'bash':
            for line in code.replace('\\\n', ' ').splitlines():
                if line.strip() and not line.startswith('#'):
                    yield 'run', shlex.split(line, comments=True)


def follow(page, tool):
    """Do it all in the folder where the process is; returns what each command printed.

    Args:
        page: its text.
        tool: the fixture that runs a script of tools/ in this process.
    """
    said = []
    for kind, *what in steps(page):
        if kind == 'file':
            Path(what[0]).write_text(what[1])
        else:
            program, command, *args = what[0]
            assert program == 'autokd', what
            said.append(tool(SCRIPTS[command], *args))
    return said

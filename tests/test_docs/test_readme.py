"""Every command of the README runs: as it is printed, but for the size of what is searched."""
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from printed_pages import ROOT, SCRIPTS, blocks

from autokd_mm.cli.main import main as autokd

COMMANDS = [line for block in blocks((ROOT / 'README.md').read_text(encoding='utf-8'), 'bash')
            for line in block.splitlines() if line.strip()]


def of_make(target):
    """The command that `make` would run here, without its own set-up, whatever the `make` that runs
    the tests was given, and whatever was searched in the checkout before."""
    own = {name: value for name, value in os.environ.items()
           if name not in ('ARGS', 'MAKEFLAGS', 'MAKEOVERRIDES', 'STACK')}
    said = subprocess.run(['make', '-n', '--no-print-directory', '-f', str(ROOT / 'Makefile'),
                           '-o', '.venv/.installed', target], env=own,
                          stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout
    return shlex.split(said.replace('\\\n', ' ').splitlines()[-1])


@pytest.mark.timeout(300)
def test_the_commands_run_in_their_order(tool, tiny_teacher, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ['--trials', '2', '--cfg-options', f'teacher_ckpt={tiny_teacher}',
             'model.teacher.backbone.base_channels=8', 'model.teacher.head.in_channels=32',
             'train_cfg.proxy.images=64', 'train_cfg.proxy.held_out=32',
             'train_cfg.proxy.batch_size=32', 'train_cfg.proxy.epochs=1',
             'train_cfg.train_teacher=False', 'train_cfg.final_round=None',
             'train_cfg.full_training.max_epochs=1', 'default_hooks.checkpoint.interval=1']
    ran = []
    for command in COMMANDS:
        program, *args = shlex.split(command.replace('epoch_30.pth', 'epoch_1.pth'))
        if program == 'make':
            program, *args = of_make(*args)
            args = [str(ROOT / arg) if arg.startswith('configs/') else arg for arg in args] + small
        if program == 'source':
            assert args == ['.venv/bin/activate']  # what `make` has set up
        elif program == 'autokd' and args[0] not in SCRIPTS:
            assert autokd(args) == 0
            assert re.search('finished|report.html', capsys.readouterr().out), command
        elif program == 'autokd':
            assert 'written: ' in tool(SCRIPTS[args[0]], *args[1:])
        else:
            assert program.endswith('python') and args[0].startswith('tools/')
            tool(re.sub(r'^tools/|\.py$', '', args[0]), *args[1:])
        ran.append(program)
    assert len(ran) >= 8
    for written in ('work_dirs/digits/report.html', 'student.pth', 'pair.py'):
        assert Path(written).is_file(), written


def test_the_first_lines_answer_the_question():
    first = (ROOT / 'README.md').read_text(encoding='utf-8').split('## ')[0]
    assert 'weights and the temperature' in first.split('\n\n')[1] and '.svg)' in first

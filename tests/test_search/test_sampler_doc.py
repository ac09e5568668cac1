"""docs/sampler.md: its example runs as it is printed."""
import re
import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / 'docs' / 'sampler.md'


def test_the_example_runs_as_printed():
    (code, ) = re.findall(r'```python\n(.*?)```', DOC.read_text(encoding='utf-8'), re.S)
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=120)
    assert done.returncode == 0, done.stderr
    model, error = done.stdout.split()[:2]
    assert model in ('neighbours', 'basis') and float(error) < 0.08


def test_the_manners_are_arguments_that_exist():
    import inspect

    from autokd_mm.search import MCTSSampler
    known = set(inspect.signature(MCTSSampler).parameters)
    said = set(re.findall(r'`([a-z_]+)(?:=[^`]*)?`', DOC.read_text(encoding='utf-8')))
    assert {'stale_after', 'shared_name', 'when_used_up', 'independent_sampler'} <= said & known

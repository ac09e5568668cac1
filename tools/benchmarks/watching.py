#!/usr/bin/env python3
"""What it takes to look at a search: ``autokd status``, ``report`` and ``view``.

    python tools/benchmarks/watching.py commands --trials 1000 10000
    python tools/benchmarks/watching.py search --trials 12     # of digits; what page and view take

``commands`` times each as a process, on made-up studies in a journal; the clock says the same as
the CPU where nothing else runs. ``search`` runs a real one and adds up what it spends with its
page and with the study for viewers.
"""
import argparse
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
os.environ.setdefault('OMP_NUM_THREADS', '1')

import optuna  # noqa: E402
from optuna.trial import TrialState, create_trial  # noqa: E402
from parts import figures  # noqa: E402

from autokd_mm.space import DistillerSpace  # noqa: E402
from autokd_mm.study.study import open_study, set_baseline, set_plan  # noqa: E402

# Seconds and MiB, by the number of trials.
GOALS = dict(status={1000: (1, None), 10000: (4, 300)},
             report={1000: (5, None), 10000: (20, None)}, view={})
MIB = 1 << 20
# A small process between, because a child's largest memory is at least its parent's at the fork.
_BETWEEN = """import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
wall, usage = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss, code]))
"""


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('what', choices=['commands', 'search'])
    parser.add_argument('--trials', type=int, nargs='+', default=[1000])
    return figures.parse(parser, dict(trials=[100]))


def make_study(work_dir, count):
    """A finished search: a tenth of its trials rejected, a fifth pruned."""
    rng = random.Random(0)
    study = open_study(work_dir, optuna.samplers.RandomSampler(seed=0), dict(space={}))
    set_plan(study, count, 0, 16)
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = []
    for _ in range(count):
        asked = drawn.ask()
        spec = DistillerSpace().suggest(asked)
        reward, kind = rng.gauss(0.1, 0.1), rng.random()
        attrs = dict(spec=spec.to_dict(), outcome=dict(
            held_out_loss=1 - reward, calibrated_loss=1 - reward, gap=0.5, metric=0.7, seconds=3.0))
        if kind < 0.1:
            attrs = dict(spec=spec.to_dict(), rejected=True, reason='no gradient')
        complete = kind >= 0.3
        trials.append(create_trial(
            state=TrialState.COMPLETE if complete else TrialState.PRUNED,
            value=reward if complete else None, params=asked.params,
            distributions=asked.distributions, user_attrs=attrs,
            intermediate_values={4: reward / 2} if kind >= 0.1 else {}))
    set_baseline(study, dict(held_out_loss=1.0, calibrated_loss=1.0, gap=0.5, metric=0.7,
                             seconds=2.0))
    study.add_trials(trials)


def timed(command, work_dir):
    """CPU seconds, seconds by the clock and MiB of a process."""
    done = subprocess.run([sys.executable, '-c', _BETWEEN, sys.executable, '-W', 'ignore', '-m',
                           'autokd_mm.cli.main', command, work_dir], cwd=ROOT, check=True,
                          stdout=subprocess.PIPE, universal_newlines=True)
    cpu, wall, memory, code = json.loads(done.stdout)
    assert code in (0, 3, 4), f'autokd {command} ended with {code}'
    return cpu, wall, memory * 1024 / MIB


def commands(args, found):
    from autokd_mm.page import PAGE
    for count in args.trials:
        with tempfile.TemporaryDirectory() as work_dir:
            make_study(work_dir, count)
            for command, goals in GOALS.items():
                runs = [timed(command, work_dir) for _ in range(1 if args.quick else 3)]
                cpu, wall, memory = (min(values) for values in zip(*runs))
                seconds, most = goals.get(count, (None, None))
                about = f'autokd {command}, {count} trials'
                found.add(f'{about}: CPU', cpu, 's', seconds and f'<= {seconds}')
                found.add(f'{about}: by the clock', wall, 's')
                found.add(f'{about}: memory', memory, 'MiB', most and f'<= {most}')
            found.add(f'{PAGE}, {count} trials',
                      os.path.getsize(os.path.join(work_dir, PAGE)) / MIB, 'MiB', '<= 3')


def watched(spent, name, function):
    def call(*args, **kwargs):
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] += time.process_time() - start
    return call


def search(args, found):
    from autokd_mm.page.keeping import Page
    from autokd_mm.report.results import Results
    spent = dict(page=0.0, view=0.0)
    Page.write = watched(spent, 'page', Page.write)
    Results.write_view = watched(spent, 'view', Results.write_view)
    spec = importlib.util.spec_from_file_location('search', os.path.join(ROOT, 'tools/search.py'))
    tool = importlib.util.module_from_spec(spec)
    with tempfile.TemporaryDirectory() as work_dir:
        sys.argv = ['search.py', os.path.join(ROOT, 'configs/search/digits.py'), '--work-dir',
                    work_dir, '--trials', str(args.trials[0])]
        spec.loader.exec_module(tool)
        tool.main()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    whole = usage.ru_utime + usage.ru_stime
    found.add('search of digits: CPU', whole, 's')
    for name, seconds in spent.items():
        found.add(f'of it in the {name}', seconds, 's')
    found.add('both', 100 * sum(spent.values()) / whole, '%', '<= 1')


def main():
    args, found = parse_args(), figures.Figures()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    dict(commands=commands, search=search)[args.what](args, found)
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)

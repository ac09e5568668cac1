"""tools/benchmarks/samplers.py on a table of a dozen distillers, made up on the spot."""
import gzip
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest

from autokd_mm.search import Belief, Prior, build_sampler

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    path = list(sys.path)
    yield {name: importlib.import_module(name) for name in ('samplers', 'parts.samplers_report',
                                                           'parts.priors')}
    sys.path[:] = path


def run(tools, monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['samplers.py', *map(str, args)])
    tools['samplers'].main()


def rows(path):
    """Tables of a report: cells by (heading, first cell)."""
    found, heading = {}, None
    for line in path.read_text().splitlines():
        if line.startswith('| ') and not line.startswith('| sampler'):
            cells = [cell.strip() for cell in line.strip('|').split('|')]
            found[heading, cells[0]] = cells[1:]
        elif line.endswith(':'):
            heading = line[:-1]
    return found


def test_a_comparison_on_a_table(tools, table, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    args = ('--table', table, '--samplers', 'MCTS', 'Random', '--trials', 20, '--work-dir', out)
    run(tools, monkeypatch, *args, '--seeds', 2)
    run(tools, monkeypatch, *args, '--seeds', 3)  # goes on where it stopped
    lines = [json.loads(line) for line in (out / 'tiny.jsonl').read_text().splitlines()]
    assert len(lines) == 2 * 2 * 3
    assert len({(line['sampler'], line['parallel'], line['seed']) for line in lines}) == 12
    got = rows(out / 'tiny.md')
    for n_parallel, heading in ((1, '1 worker'), (8, '8 workers')):
        own = [line for line in lines
               if line['sampler'] == 'MCTS' and line['parallel'] == n_parallel]
        cells = got[heading, 'MCTS']
        assert cells[0] == '3'
        found = [line['top1'] for line in own]
        assert cells[1] == f'{np.median([n or np.inf for n in found]):.0f}'.replace('inf', '> 20')
        assert cells[4].split(' ')[0] == f'{np.mean([line["regret"][19] for line in own]):.3f}'
        assert cells[5:] == ['-'] * 4  # there are 20 trials only
    cost = got['Trials of several workers over those of one to the same mean regret', 'Random']
    assert cost[0] == '8' and cost[2:] == ['-', '-']
    assert (out / 'tiny.png').stat().st_size > 1000
    before = (out / 'tiny.md').read_text()
    run(tools, monkeypatch, *args, '--report')
    assert (out / 'tiny.md').read_text() == before


def test_what_is_measured(tools):
    truth = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    measured = tools['parts.samplers_report'].measure(truth, [0, 3, 4], [0.5, 9.0, np.nan])
    assert measured['regret'] == [2.0, 0.5, 0.0]  # (4 - 0, 4 - 3, 0) / (4 - 2)
    assert (measured['top1'], measured['top5']) == (3, 1)
    failed = tools['parts.samplers_report'].measure(truth, [0] * 9 + [3], [np.nan] * 9 + [1.0])
    assert failed['chosen'] == [0.5] and failed['top1'] is None


def test_trials_of_several_workers_over_those_of_one(tools):
    lines = [dict(sampler='a', parallel=1, regret=[1 - n / 100 for n in range(100)]),
             dict(sampler='a', parallel=8, regret=[1 - n / 200 for n in range(100)])]
    assert tools['parts.samplers_report'].parallel_cost(lines, ['a'])[-1] == \
        '| a | 8 | 1.95 | 1.98 | > 1.00 |'  # (2 * 19 + 1) / 20, (2 * 49 + 1) / 50


def test_nsga2_with_its_own_mutation_probability_is_random_search(tools, table):
    """Why the comparison gives it one: Optuna breeds what all trials have in common."""
    samplers = tools['samplers']
    args = type('Args', (), dict(table=str(table), weights=[]))
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def places(**cfg):
        goal = samplers.objective(args, 0)
        return samplers.replay(goal, build_sampler(cfg, 0), 60, 1)[0]

    random = places(type='RandomSampler')
    assert places(type='NSGAIISampler', population_size=20) == random
    assert places(**samplers.SAMPLERS['NSGA-II']) != random


def test_tables_of_other_fields(tools, tmp_path, monkeypatch):
    """A conditional space: the second question depends on the first answer; a leaf is invalid."""
    found = dict(questions=[['kind', ['a', 'b']], ['x', [0, 1, 2]], ['y', [0.1, 0.2]]],
                 leaves=[[0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 1, 2], [0, 1, 2, 0], [0, 1, 2, 1]],
                 rewards=[[1.0, 3.0], [5.0], None, [0.0], [4.0]])
    with gzip.open(tmp_path / 'other.json.gz', 'wt') as file:
        json.dump(found, file)
    goal = importlib.import_module('parts.foreign').read(tmp_path / 'other.json.gz')
    assert goal.truth.tolist() == [2, 5, 0, 0, 4]
    seen = {goal.value(0, number) for number in range(20)}
    assert seen == {1.0, 3.0} and np.isnan(goal.value(2, 0)) and 1 <= goal.duration(0, 0) < 2
    fixed = optuna.trial.FixedTrial({'kind': 'b', 'y': 0.2})
    assert goal.place(fixed) == 4 and list(fixed.params) == ['kind', 'y']
    run(tools, monkeypatch, '--table', tmp_path / 'other.json.gz', '--samplers', 'MCTS', '--trials',
        5, '--seeds', 2, '--parallel', 1, '--work-dir', tmp_path)
    lines = [json.loads(line) for line in (tmp_path / 'other.jsonl').read_text().splitlines()]
    assert [line['regret'][-1] for line in lines] == [0, 0]  # each of the five was tried


@pytest.mark.parametrize('name', ['xor', 'needle', 'families'])
def test_made_up_functions(tools, name):
    made = importlib.import_module('parts.foreign').SYNTHETIC[name]
    goal, other = made(0), made(1)
    assert len(goal.truth) == (4000 if name == 'families' else 4096)
    assert goal.truth.argmax() != other.truth.argmax()
    assert goal.value(7, 0) == made(0).value(7, 0) != goal.value(7, 1)


def test_wrong_priors_are_others_for_each_seed(tools):
    priors = tools['parts.priors']
    right = Prior({('q', str(choice)): Belief(0.1 * choice, 2.0) for choice in range(8)})
    means = sorted(belief.mean for belief in right.options.values())

    def effects(name, seed):
        return [belief.mean for belief in priors.named(name, right, seed).options.values()]

    assert priors.named('no prior', right, 0) is None
    assert priors.named('experience', right, 0) is right
    assert sorted(effects('negated', 0)) == sorted(-mean for mean in means)
    assert sorted(effects('shuffled', 0)) == means
    for name in ('shuffled', 'unrelated'):
        assert effects(name, 1) == effects(name, 1) != effects(name, 2)

"""The manner of tools/benchmarks: every command that measures has --quick and --out, a list of
figures with name, value, unit and goal. What the others measure is tested in files of their own."""
import argparse
import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


@pytest.fixture(autouse=True)
def left_as_it_was(monkeypatch):
    path, threads = list(sys.path), torch.get_num_threads()
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    with torch.random.fork_rng():
        yield
    sys.path[:] = path
    torch.set_num_threads(threads)


def checked(out):
    """Figures by name; they are as docs/benchmarks/ has them."""
    rows = json.loads(out.read_text())
    for row in rows:
        assert set(row) == {'name', 'value', 'unit', 'goal'} and row['name'] and row['unit']
        assert row['value'] is None or isinstance(row['value'], (int, float))
        assert row['goal'] is None or re.fullmatch(r'(<=|>=|<|>) -?[\d.e-]+', row['goal'])
    found = {row['name']: row for row in rows}
    assert len(found) == len(rows) > 0, 'each has a name of its own'
    return found


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """``bench('losses', '--only', 'l2')`` runs a command with --quick and --out; its figures."""

    def run(name, *args):
        out = tmp_path / f'{name}.json'
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, args), '--quick', '--out',
                                          str(out)])
        importlib.import_module(name).main()
        return checked(out)

    return run


def test_commands_stand_alone_in_their_folder():
    for path in TOOLS.glob('*.py'):
        assert "if __name__ == '__main__':" in path.read_text(), f'{path.name} belongs into parts'


@pytest.fixture
def figures():
    return importlib.import_module('parts.figures')


def parsed(figures, monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['x.py', *map(str, args)])
    parser = argparse.ArgumentParser()
    parser.add_argument('--seeds', type=int, default=200)
    return figures.parse(parser, dict(seeds=3, budget=0.1))


def test_quick_sets_what_the_command_line_does_not(figures, monkeypatch):
    assert parsed(figures, monkeypatch).seeds == 200
    args = parsed(figures, monkeypatch, '--quick')
    assert (args.seeds, args.budget) == (3, 0.1)
    assert parsed(figures, monkeypatch, '--quick', '--seeds', 7).seeds == 7


def test_a_file_that_cannot_be_is_refused_at_the_start(figures, monkeypatch, tmp_path, capsys):
    for path, why in ((tmp_path, 'is a folder'), (tmp_path / 'no' / 'x.json', 'there is no fol')):
        with pytest.raises(SystemExit):
            parsed(figures, monkeypatch, '--out', path)
        assert why in capsys.readouterr().err


def test_figures_are_written_as_a_whole_or_not_at_all(figures, tmp_path, capsys):
    args = argparse.Namespace(out=str(tmp_path / 'x.json'), quick=False)
    found = figures.Figures()
    found.add('reached', 1.25, 'x', '<= 1.25')
    found.add('missed', 1234.5678, 'ms', '< 1000')
    found.add('not there', float('inf'), 'trials', '<= 10')
    found.add('counted', 1234567, 'trials')
    found.finish(args)
    rows = checked(tmp_path / 'x.json')
    assert [row['value'] for row in rows.values()] == [1.25, 1234.57, None, 1234567]
    said = capsys.readouterr().out.splitlines()
    assert [('MISSED' in line) for line in said[:4]] == [False, True, True, False]
    assert said[4:] == ['2 of 3 goals missed', '  missed', '  not there']
    before = (tmp_path / 'x.json').read_text()
    found.rows.append(dict(value=object()))
    with pytest.raises(Exception):  # noqa: B017 (whichever)
        found.finish(argparse.Namespace(out=args.out, quick=False))
    assert (tmp_path / 'x.json').read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ['x.json']


def test_losses(bench):
    found = bench('losses', '--only', 'l2', '--device', 'cpu', '--budget', 0)
    assert len(found) == 3 * 2 and all(row['value'] > 0 for row in found.values())
    assert found['cpu/l2/FPN-N2-C256/memory']['goal'] == '<= 1'
    assert found['cpu/l2/FPN-N2-C256/memory']['unit'] == 'x L2Loss'


def test_ops(bench, capsys):
    """Without a compiled mmcv, its rows are left out with a word."""
    from autokd_mm import ops
    found = bench('ops', '--only', 'nms/1000', '--budget', 0) if not ops.stands_in() else {}
    for row in found.values():
        assert row['value'] > 0 and row['unit'] == 'x compiled' and row['goal'] == '<= 1.1'
    found = bench('ops', '--only', 'ms_deform_attn', '--budget', 0)
    assert set(found) == {'cpu/ms_deform_attn/time', 'cpu/ms_deform_attn/memory'}
    assert 0 < found['cpu/ms_deform_attn/memory']['value'] < 0.5
    assert found['cpu/ms_deform_attn/time']['unit'] == 'x pure torch'


def test_ranking(bench, capsys):
    found = bench('ranking')  # on the tables that are shipped
    assert found['metric + gap: tau']['value'] == pytest.approx(0.67, abs=0.005)
    assert found['distillers']['value'] == 40
    assert found['long training: better than undistilled']['value'] == 11
    assert '| metric + gap | 0.67 |' in capsys.readouterr().out


def test_search_cost(tool, search_config, tmp_path):
    out = tmp_path / 'cost.json'
    said = tool('benchmarks/search_cost', search_config, '--work-dir', tmp_path / 'work', '--quick',
                '--distillers', 1, '--steps', 1, '--out', out)
    found = checked(out)
    assert found['distillers']['value'] == 1 and '1 of 1: ' in said
    limit = found['limit of MMRazor online / ours']['value']
    student, teacher = (found[f'{name}, forward pass of one image']['value']
                        for name in ('student', 'teacher'))
    assert limit == pytest.approx((teacher + 3 * student) / (3 * student), rel=1e-3)
    goal = found['step of MMRazor online / step with the bank, median']['goal']
    assert goal == f'>= {0.9 * limit:.4g}'


def test_watching(bench):
    found = bench('watching', 'commands', '--trials', 20)
    assert 0 < found['autokd status, 20 trials: CPU']['value'] < 20
    assert 10 < found['autokd view, 20 trials: memory']['value'] < 500  # torch is not imported
    assert 0 < found['report.html, 20 trials']['value'] < 3


def test_search_speed(bench, monkeypatch):
    module, runs = importlib.import_module('search_speed'), []

    def search(*args):
        runs.append(args)
        return 12.5, {'search/outside_model': 0.25}

    monkeypatch.setattr(module, 'search', search)
    found = bench('search_speed', '--data-root', 'D', '--teacher-ckpt', 'T')
    (digits, trials, options), (_, _, of_cifar) = runs
    assert (digits, trials) == ('configs/search/digits.py', 10)
    assert options == ['train_cfg.final_round=None']
    assert of_cifar[:2] == ['data_root=D', 'teacher_ckpt=T'] and len(of_cifar) > 2
    assert found['digits: outside forward, backward and step'] == dict(
        name='digits: outside forward, backward and step', value=25.0, unit='%', goal='<= 20')


def test_samplers(bench, table, tmp_path):
    args = ('samplers', '--table', table, '--trials', 20, '--seeds', 2, '--work-dir',
            tmp_path / 'out')
    found = bench(*args)
    assert found['MCTS, 1 worker: trials to the top 1 %, median']['unit'] == 'trials'
    assert {name.split(',')[0] for name in found if ',' in name} == {'MCTS', 'TPE', 'Random'}
    ratio = found['MCTS: trials of 8 workers to the regret of one at 20']
    assert ratio['goal'] == '<= 1.25' and ratio['unit'] == 'x'
    assert (tmp_path / 'out' / 'tiny-quick.md').exists()
    assert bench(*args, '--report') == found


def test_scale_measured_and_simulated(bench, tmp_path):
    work_dir = tmp_path / 'out'
    with pytest.raises(SystemExit, match='there is no .*costs-quick.json'):
        bench('scale', 'idle', '--work-dir', work_dir)
    found = bench('scale', 'measure', '--processes', 1, '--work-dir', work_dir)
    assert found['journal, 1 writing process: all together']['value'] > 1
    assert found['journal, 50 finished trials: question, median']['unit'] == 'ms'
    found = bench('scale', 'idle', '--work-dir', work_dir)
    assert found['journal, trials of 5 s, 64 workers: idle']['goal'] == '<= 5'
    assert 0 <= found['journal, trials of 5 s, 1 worker: idle']['value'] <= 100


def test_scale_regret(bench, table, tmp_path):
    found = bench('scale', 'regret', '--table', table, '--trials', 12, '--work-dir',
                  tmp_path / 'out')
    one, four = (found[f'{who}, 12 trials: regret, mean']['value'] for who in
                 ('1 worker', '4 workers'))
    ratio = found['4 workers, 12 trials: regret over that of one worker']
    assert ratio['value'] == (pytest.approx(four / one, rel=0.02) if one else None)

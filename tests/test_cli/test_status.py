"""``autokd status`` as a person and as a script see it."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from autokd_mm.cli.main import main
from autokd_mm.search import MCTSSampler
from autokd_mm.study import study as studies
from autokd_mm.study.status import Run, Status
from autokd_mm.study.study import open_study

OLD = Path(__file__).resolve().parents[1] / 'data' / 'version_0_1_0' / 'search'
DISK = dict(study=2 ** 20, banks=3 * 2 ** 20, free=5 * 2 ** 30)


@pytest.fixture
def status(monkeypatch, capsys, tmp_path):

    def run(found=None, *args):
        if found is not None:
            monkeypatch.setattr('autokd_mm.cli.status.status_of', lambda *_: found)
        code = main(['status', str(tmp_path / 'digits'), *args])
        return code, capsys.readouterr().out

    return run


def test_at_work(status):
    runs = [Run('trial 7', 'node1:12', 61.0, True), Run('trial 6', 'node2:9', 100.0, None),
            Run('trial 5', '', 5.0, False)]
    code, out = status(Status('searching', 5, 60, dict(complete=4, pruned=1, failed=0), '+0.2 it',
                              0, 56, runs, 3661.0, DISK))
    assert code == 3
    assert out.splitlines() == [
        'digits: searching', '  trials       5 of 60: 4 complete, 1 pruned',
        '  best         +0.2 it',
        '  final round  0%', '  at work      trial 7 for 0:01:01, node1:12',
        '  at work      trial 6 for 0:01:40, node2:9, on another machine',
        '  at work      trial 5 for 0:00:05, not signed, its worker has died',
        '  time left    about 1:01:01', '  disk         study 1.0 MiB, banks 3.0 MiB, free 5.0 GiB']


def test_all_that_the_space_has(status):
    out = status(Status('final round', 5, 5, used_up=True, disk=DISK))[1]
    assert out.splitlines()[1] == '  trials       5 of 5, all that the space has'


def test_stopped_and_preparing(status):
    code, out = status(Status('stopped', 5, 60, disk=DISK))
    assert code == 4 and 'go on with --resume' in out.splitlines()[0]
    code, out = status(Status('preparing', disk=DISK))
    assert code == 3 and out.startswith('digits: preparing (teacher')


def test_finished(status, tmp_path):
    (tmp_path / 'digits').mkdir()
    (tmp_path / 'digits' / 'best_distiller.py').write_text(
        '# Distiller found by autokd_mm\n#   logits kl (T=4) x1\n#   reward +0.5\n\nmodel = 1\n')
    code, out = status(Status('finished', 60, 60, final_wanted=56, final_done=20, disk=DISK))
    assert code == 0 and '  winner       logits kl (T=4) x1\n               reward +0.5\n' in out
    assert '  final round  100%' in out  # with fewer runs than there could have been
    assert 'autokd train' in out
    (tmp_path / 'digits' / 'best_distiller.py').write_bytes(b'\xff\xfe\n')
    assert status(Status('finished', 60, 60, disk=DISK))[0] == 0


def test_json(status):
    code, out = status(Status('stopped', 5, 60, disk=DISK), '--json')
    assert code == 4 and json.loads(out)['phase'] == 'stopped' and json.loads(out)['left'] is None


def test_an_old_study(capsys, tmp_path):
    """Of version 0.1.0."""
    assert main(['status', str(OLD)]) in (0, 4)
    assert '  best         ' in capsys.readouterr().out
    assert main(['status', str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith('error: work_dir: there is no study.journal')


def test_it_is_light(tmp_path):
    study = open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1))
    studies.set_baseline(study, dict(seconds=1))
    done = subprocess.run(
        [sys.executable, '-c', 'import sys\nfrom autokd_mm.cli.main import main\n'
         'code = main(["status", sys.argv[1]])\n'
         'heavy = {"torch", "mmengine", "scipy", "matplotlib", "sqlalchemy"}\n'
         'assert not heavy & set(sys.modules)\n'
         'sys.exit(code)', str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 4 and 'stopped' in done.stdout, done.stderr

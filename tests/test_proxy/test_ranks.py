"""Two processes that train candidates together, against one; with gloo on the CPU."""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import two_ranks

from autokd_mm.errors import CandidateFailed, ConfigError
from autokd_mm.proxy import ranks as module
from autokd_mm.proxy.ranks import RankLost, Ranks, check_ranks

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope='module')
def both(tmp_path_factory, tiny_config, tiny_teacher):
    """What each rank has found, and what one process finds."""
    from mmengine.registry import DefaultScope
    root = tmp_path_factory.mktemp('ranks')
    config = root / 'tiny.py'
    config.write_text(tiny_config(str(tiny_teacher)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        alone = two_ranks.results(two_ranks.trainers(str(config), str(root / 'bank')))
    torch.set_num_threads(threads)
    with socket.socket() as found:
        found.bind(('localhost', 0))
        port = str(found.getsockname()[1])
    processes = [subprocess.Popen(
        [sys.executable, two_ranks.__file__, str(config), str(root / 'bank'), str(root)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
        env=dict(os.environ, RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1',
                 MASTER_PORT=port, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1',
                 PYTHONPATH=str(HERE.parents[1]))) for rank in range(2)]
    out = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 1], '\n'.join(out)[-6000:]
    return [json.loads((root / f'{rank}.json').read_text()) for rank in range(2)] + [alone]


def test_two_ranks_train_as_one(both):
    """The same batches in the same order, the mean of the gradients clipped, accumulated ..."""
    first, second, alone = both[0]['results'], both[1]['results'], both[2]
    assert first == second
    for name in ('plain', 'none', 'clipped', 'accumulated', 'longer'):
        assert first[name] == pytest.approx(alone[name], rel=1e-5), name
    assert first['weights'] == pytest.approx(alone['weights'], rel=1e-5, abs=1e-5)
    assert np.array(first['steps']) == pytest.approx(np.array(alone['steps']), rel=1e-5)
    # They are different trainings.
    values = [first[name] for name in ('plain', 'none', 'clipped', 'accumulated', 'longer')]
    assert all(abs(a[0] - b[0]) > 5e-3 for a, b in zip(values, values[1:]))


def test_bit_identical_and_the_same_student_everywhere(both):
    """With batch normalisation: running statistics are averaged before a measurement."""
    first, second, _ = both
    assert first['twice'][0] == first['twice'][1] == second['twice'][0] == second['twice'][1]
    assert first['state'] == second['state']
    assert first['after'] == first['twice'][0]  # whatever came between


@pytest.mark.parametrize('name, text', [
    ('failed', 'RuntimeError: CUDA out of memory'), ('failed_at_once', 'RuntimeError: shapes'),
    ('failed_at_last', 'RuntimeError: late'), ('nan', 'the loss is nan at step 2 of 4')])
def test_a_failure_on_one_rank_is_everybodys(both, name, text):
    assert both[0][name] == both[1][name] == ['CandidateFailed', text]


def test_what_ends_a_run_otherwise(both):
    first, second, _ = both
    assert first['pruned'] == ['CandidatePruned', 'behind the others']
    assert second['pruned'] == ['CandidateOver', 'CandidatePruned: behind the others']
    assert second['bug'] == ['TypeError', 'a bug']
    assert first['bug'] == ['RankLost', 'rank 1 of this worker has ended: TypeError: a bug']
    assert first['bug_of_rank_0'] == ['TypeError', 'a bug']
    assert second['bug_of_rank_0'][0] == 'CandidateOver'


def test_rank_0_leads(both):
    first, calls = both[0]['commands'], both[1]['commands']
    plain = two_ranks.PLAIN.to_dict()
    assert calls == [['first_step', plain, 2], ['run', plain, True, None, 1, [1]],
                     ['run', None, False, None, 1, None], ['run', plain, False, 5, 2, None]]
    assert first['calls'] == calls and first['curve'] == 2
    assert first['failed'] == ['CandidateFailed', 'RuntimeError: only here']
    assert np.isfinite(first['after']).all()


def test_two_ranks_on_a_gpu(both):
    """A pretended one: the numbers of the CPU, and no step waits for it, however many there are."""
    first, second = (found['on_gpu'] for found in both[:2])
    assert first['plain'] == second['plain']
    assert first['plain'] == pytest.approx(both[0]['results']['plain'], rel=1e-5)
    assert first['waits'] == second['waits'] == {}
    assert first['once'] and second['once']  # it was on the GPU


def test_a_dead_rank_is_noticed(both):
    kind, text = both[0]['lost']
    assert kind == 'RankLost' and 'another rank of this worker has ended' in text
    assert both[0]['seconds'] < 30


def test_exchange(both):
    for rank, found in enumerate(both[:2]):
        assert found['exchanged'] == dict(
            means=[[1.5, 1.5], [[0.5] * 3] * 2, None], same=['of', 0],
            rows=[[0, 1, 2], [3, 4, 5]][rank])


def test_one_rank():
    ranks, failed = Ranks(), CandidateFailed('x')
    assert (ranks.rank, ranks.size, ranks.leads) == (0, 1, True)
    rows, tensors = np.arange(5), [torch.ones(2), None]
    assert ranks.share(rows) is rows and ranks.same('a') == 'a'
    assert ranks.mean(tensors, tensors) == tensors
    with pytest.raises(CandidateFailed) as raised, ranks.together():
        raise failed
    assert raised.value is failed
    with ranks.together():
        ranks.meet()


def test_a_cut_connection_is_no_failure_of_a_candidate():
    with pytest.raises(RankLost, match=r'has ended \(Connection closed by peer\)'):
        with module._connected():
            raise RuntimeError('Connection closed by peer\nstack')


@pytest.mark.parametrize('ranks, world, batch_size, words', [
    (2, 1, 0, ['ranks_per_trial=2', 'world size 1', '--nproc_per_node=2']),
    (2, 4, 32, ['ranks_per_trial=2', 'world size 4']), (1, 2, 32, ['ranks_per_trial=1']),
    (0, 1, 32, ['ranks_per_trial=0', 'at least 1']), ('2', 2, 32, ["ranks_per_trial='2'"]),
    (True, 1, 32, ['ranks_per_trial=True']),
    (3, 3, 32, ['proxy.batch_size=32', 'ranks_per_trial=3'])])
def test_ranks_that_do_not_fit(ranks, world, batch_size, words):
    with pytest.raises(ConfigError) as error:
        check_ranks(ranks, world, batch_size)
    assert [word for word in words if word not in str(error.value)] == []


def test_ranks_that_fit():
    check_ranks(1, 1, 33)
    check_ranks(4, 4, 32)

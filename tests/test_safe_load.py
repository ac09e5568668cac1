import itertools
import os
import pickle
import threading
from collections import Counter, OrderedDict, defaultdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from autokd_mm.errors import CheckpointError
from autokd_mm.safe_load import load_weights, use_everywhere

_numbers = itertools.count()


class Call:
    """Pickled as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __call__(self):
        """Only what looks like a function can be pickled as one."""

    def __reduce__(self):
        return self.call


def saved(tmp_path, thing, name='c.pth', **kwargs):
    path = str(tmp_path / name)
    torch.save(thing, path, **kwargs)
    return path


def training_checkpoint():
    """What MMEngine writes: weights, optimiser, schedulers, and the logs of its message hub."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    hub = MessageHub.get_instance(f'test_safe_load_{next(_numbers)}')
    for value in (1.5, np.float64(2.5), np.float32(3.5), torch.tensor(4.5)):
        hub.update_scalar('train/loss', value)
    hub.update_info('iter', np.int64(7))
    hub.update_info('flag', np.bool_(True))
    return dict(
        meta=dict(epoch=1, seed=0, cfg='x = 1', dataset_meta=dict(classes=('a', 'b')),
                  metric=np.float64(0.5), mean=np.array([1., 2.]), size=torch.Size([2, 3])),
        state_dict=OrderedDict(model.state_dict()), message_hub=hub.state_dict(),
        optimizer=optimizer.state_dict(),
        param_schedulers=[dict(last_step=3, _last_value=[0.1], milestones=Counter([8, 11]))],
        parameter=nn.Parameter(torch.ones(2)), dtype=torch.float16,
        many=defaultdict(list, a=[1]), halves=torch.ones(2, dtype=torch.bfloat16), names={'a', 'b'})


@pytest.mark.parametrize('zipped', [True, False])
def test_a_training_checkpoint(tmp_path, zipped):
    made = training_checkpoint()
    read = load_weights(saved(tmp_path, made, _use_new_zipfile_serialization=zipped))
    assert set(read) == set(made)
    for name, value in made['state_dict'].items():
        assert torch.equal(read['state_dict'][name], value)
    state = read['optimizer']['state'][0]
    assert torch.equal(state['exp_avg'], made['optimizer']['state'][0]['exp_avg'])
    history = read['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert history.data[0].tolist() == [1.5, 2.5, 3.5, 4.5] and history.mean() == 3.0
    assert history.current() == 4.5 and history.min() == 1.5 and history.max() == 4.5
    assert read['message_hub']['runtime_info']['iter'] == 7
    assert read['meta']['metric'] == 0.5 and read['meta']['mean'].tolist() == [1., 2.]
    assert read['param_schedulers'] == made['param_schedulers']
    assert read['names'] == {'a', 'b'} and read['dtype'] == torch.float16
    assert read['halves'].dtype == torch.bfloat16 and isinstance(read['parameter'], nn.Parameter)


def test_map_location(tmp_path):
    read = load_weights(saved(tmp_path, dict(a=torch.ones(2))), map_location='meta')
    assert read['a'].device.type == 'meta'


def test_a_path_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    saved(tmp_path, dict(a=torch.ones(2)))
    assert load_weights('~/c.pth')['a'].sum() == 2


# ---------------------------------------------------------------------- nothing of it is run
def calls(target):
    return {
        'system': Call(os.system, f'touch {target}'),
        'eval': Call(eval, f'open({str(target)!r}, "w")'),
        'exec': Call(exec, f'open({str(target)!r}, "w")'),
        'open': Call(open, str(target), 'w'),
        'mkdir': Call(os.mkdir, str(target)),
        'partial': Call(partial, os.mkdir, str(target)),
        'nested': Call(Call(getattr, HistoryBuffer, 'register_statistics'), print),
        'through a method': Call(getattr, HistoryBuffer, 'register_statistics'),
        'through globals': Call(getattr, HistoryBuffer.mean, '__globals__'),
        'numpy': Call(np.memmap, str(target), 'uint8', 'w+', 0, (1, )),
        'torch': Call(torch.save, torch.ones(1), str(target)),
        'module': Call(nn.Linear, 2, 2),
    }


@pytest.mark.parametrize('kind', calls(''))
@pytest.mark.parametrize('zipped', [True, False])
def test_a_malicious_checkpoint_runs_nothing(tmp_path, kind, zipped):
    target = tmp_path / 'ran'
    path = str(tmp_path / 'c.pth')
    torch.save(dict(state_dict=dict(a=torch.ones(1)), x=calls(target)[kind]), path,
               _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError) as info:
        load_weights(path)
    assert 'not allowed in a checkpoint' in str(info.value) and '\n' not in str(info.value)
    use_everywhere()
    with pytest.raises(CheckpointError, match='not allowed in a checkpoint'):
        CheckpointLoader.load_checkpoint(path, map_location='cpu')
    assert not target.exists()


def test_other_schemes_are_one_line_too():
    """As torchvision:// without a network."""
    def loader(filename, map_location=None):
        raise URLError('Name or service not known')

    CheckpointLoader.register_scheme(prefixes='fake://', loader=loader)
    try:
        for _ in range(2):
            use_everywhere()
        with pytest.raises(CheckpointError, match=r'checkpoint: fake://resnet18 cannot be read '
                                                  r'\(<urlopen error Name or service'):
            CheckpointLoader.load_checkpoint('fake://resnet18', map_location='cpu')
    finally:
        del CheckpointLoader._schemes['fake://']


def test_a_plain_pickle_runs_nothing(tmp_path):
    target, path = tmp_path / 'ran', tmp_path / 'c.pth'
    path.write_bytes(pickle.dumps(Call(os.mkdir, str(target))))
    with pytest.raises(pickle.UnpicklingError, match='not allowed in a checkpoint'):
        load_weights(str(path))
    assert not target.exists()


# ---------------------------------------------------------------------- broken files
def test_a_torn_file(tmp_path):
    path = saved(tmp_path, training_checkpoint())
    content = (tmp_path / 'c.pth').read_bytes()
    for part in (0, 1, 100, len(content) // 2, len(content) - 10):
        (tmp_path / 'c.pth').write_bytes(content[:part])
        with pytest.raises((RuntimeError, EOFError, OSError, pickle.UnpicklingError)):
            load_weights(path)


def test_no_file(tmp_path):
    for path in (tmp_path / 'none.pth', tmp_path):
        with pytest.raises(FileNotFoundError, match='can not be found'):
            load_weights(str(path))


# ---------------------------------------------------------------------- MMEngine
def test_mmengine_reads_through_it(tmp_path):
    use_everywhere()
    path = saved(tmp_path, training_checkpoint())
    read = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    assert read['message_hub']['runtime_info']['iter'] == 7
    with pytest.raises(CheckpointError, match='none.pth cannot be read .*can not be found'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))


@pytest.fixture
def url(tmp_path, monkeypatch):
    """Where the files of ``tmp_path/served`` are served."""

    class Quiet(SimpleHTTPRequestHandler):

        def log_message(self, *args):
            pass

    (tmp_path / 'served').mkdir()
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(('127.0.0.1', 0),
                                 partial(Quiet, directory=str(tmp_path / 'served')))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_url_is_downloaded_once_and_read_safely(tmp_path, url):
    use_everywhere()
    saved(tmp_path / 'served', dict(a=torch.ones(2)), 'good.pth')
    saved(tmp_path / 'served', dict(a=Call(os.mkdir, str(tmp_path / 'ran'))), 'bad.pth')
    assert CheckpointLoader.load_checkpoint(f'{url}/good.pth?v=1')['a'].sum() == 2
    (tmp_path / 'served' / 'good.pth').unlink()
    assert CheckpointLoader.load_checkpoint(f'{url}/good.pth')['a'].sum() == 2
    with pytest.raises(CheckpointError, match='bad.pth cannot be read .*not allowed'):
        CheckpointLoader.load_checkpoint(f'{url}/bad.pth')
    assert not (tmp_path / 'ran').exists()

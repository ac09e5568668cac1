"""A search that takes two seconds: a tiny teacher, 96 digits, one epoch."""
import importlib.util
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / 'tools'

_CONFIG = '''_base_ = {base!r}

teacher_ckpt = {teacher!r}
model = dict(
    teacher=dict(backbone=dict(base_channels=8), head=dict(in_channels=32)),
    teacher_ckpt=teacher_ckpt)
train_cfg = dict(
    trials=3, warm_start=[], final_round=dict(_delete_=True),
    proxy=dict(images=64, held_out=32, batch_size=32, epochs=1),
    train_teacher=False,
    full_training=dict(max_epochs=1, val_interval=1))
default_hooks = dict(checkpoint=dict(interval=1))
# A thousand samples in one array instead of many objects: not worth a collection of garbage here.
train_dataloader = dict(dataset=dict(serialize_data=False))
val_dataloader = dict(dataset=dict(serialize_data=False))
'''


@pytest.fixture(scope='session', autouse=True)
def ctrl_c_works():
    """A shell starts its background jobs with Ctrl-C ignored, and children inherit that: the
    tests of Ctrl-C would then test the shell."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_scope_left_behind():
    """A Runner leaves its default scope to whatever test comes next in the same process."""
    yield
    found = sys.modules.get('mmengine.registry')
    if found is not None:
        scopes = found.DefaultScope._instance_dict
        for name in [name for name in scopes if name != 'mmengine']:
            del scopes[name]


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory):
    """The text of the search config, for a teacher's checkpoint."""
    return lambda teacher: _CONFIG.format(
        base=str(ROOT / 'configs' / 'search' / 'digits.py'), teacher=teacher)


@pytest.fixture(scope='session')
def tiny_teacher(tmp_path_factory, tiny_config):
    """Checkpoint of a teacher that has seen enough digits to be worth listening to."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import DATASETS, DefaultScope

    from autokd_mm.registry import MODELS
    folder = tmp_path_factory.mktemp('teacher')
    (folder / 'config.py').write_text(tiny_config(None))
    config = Config.fromfile(str(folder / 'config.py'))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        teacher = MODELS.build(config.model.teacher)
        teacher.init_weights()
        data = DATASETS.build(config.val_dataloader.dataset)
        samples = [data[index] for index in range(len(data))]
        batch = teacher.data_preprocessor(dict(
            inputs=[sample['inputs'] for sample in samples],
            data_samples=[sample['data_samples'] for sample in samples]), training=True)
        optimizer = torch.optim.Adam(teacher.parameters(), lr=0.01)
        teacher.train()
        for _ in range(15):
            optimizer.zero_grad()
            teacher(batch['inputs'], batch['data_samples'], mode='loss')['loss'].backward()
            optimizer.step()
    torch.set_num_threads(threads)
    path = folder / 'tiny_teacher.pth'
    torch.save(dict(state_dict=teacher.state_dict()), str(path))
    return path


@pytest.fixture
def search_config(tmp_path, tiny_config, tiny_teacher):
    path = tmp_path / 'tiny.py'
    path.write_text(tiny_config(str(tiny_teacher)))
    return path


class Ended(Exception):
    """A tool ended with an exit code that is not 0; ``line`` is what it said last."""

    def __init__(self, code, err):
        self.code, self.err = code, err
        self.lines = [line for line in err.splitlines() if line.startswith(('error', 'interrup'))]
        self.line = self.lines[-1] if self.lines else ''
        super().__init__(f'{code}: {err}')


@pytest.fixture
def tool(monkeypatch, capsys):
    """``tool('search', config, '--trials', '2')`` runs tools/search.py as a person would, in this
    process; returns what it wrote on standard output."""
    import torch
    from mmengine.utils import ManagerMixin

    def managers(cls):
        return [cls] + [found for below in cls.__subclasses__() for found in managers(below)]

    def run(name, *args):
        script = TOOLS / f'{name}.py'
        monkeypatch.syspath_prepend(str(TOOLS))
        monkeypatch.syspath_prepend(str(script.parent))  # as Python does for a script
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, args)])
        spec = importlib.util.spec_from_file_location(f'tool_{name}', str(script))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        import _cli
        environment = dict(os.environ)
        terminate, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
        # MMEngine keeps loggers and the like for the rest of the process, by a name that two runs
        # within a second share.
        kept = {cls: dict(cls._instance_dict) for cls in managers(ManagerMixin)
                if '_instance_dict' in vars(cls)}
        for cls in kept:
            cls._instance_dict.clear()
        code = 0
        try:
            _cli.run(module.main)
        except SystemExit as end:
            code = end.code
        finally:
            for cls, instances in kept.items():
                cls._instance_dict.clear()
                cls._instance_dict.update(instances)
            signal.signal(signal.SIGTERM, terminate)
            torch.set_num_threads(threads)
            os.environ.clear()
            os.environ.update(environment)
        out, err = capsys.readouterr()
        if code:
            raise Ended(code, err)
        return out + err

    run.Ended = Ended
    return run


@pytest.fixture
def search(tool, search_config, tmp_path):
    """Run the tiny search; returns its work dir."""

    def run(*args, config=search_config, work_dir='work'):
        folder = tmp_path / work_dir
        tool('search', config, '--work-dir', folder, *args)
        return folder

    run.Ended = Ended
    return run


@pytest.fixture
def study_of():
    """The study in a work dir, read as anybody with Optuna reads it."""
    import optuna

    def load(folder):
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(folder / 'study.journal')))
        return optuna.load_study(study_name='autokd_mm', storage=storage)

    return load


@pytest.fixture
def free_port():
    """A port nobody listens on. (A random number is not: runners seed the generator.)"""
    with socket.socket() as found:
        found.bind(('localhost', 0))
        return str(found.getsockname()[1])

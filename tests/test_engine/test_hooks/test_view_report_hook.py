"""How often each view was seen, also by a training that was resumed and by several processes."""
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from autokd_mm.engine.hooks import view_report_hook as view_report
from autokd_mm.engine.hooks.view_report_hook import ViewReportHook


def sample(view):
    return SimpleNamespace(view=view, view_sample=0, view_seed=0)


@pytest.fixture
def runner(tmp_path):
    lines = []
    return SimpleNamespace(
        message_hub=MessageHub(f'views-{tmp_path}'), lines=lines,
        logger=SimpleNamespace(info=lines.append),
        train_dataloader=SimpleNamespace(dataset=SimpleNamespace(views=4, samples=6)))


def train(runner, *batches):
    hook = ViewReportHook()
    for views in batches:
        hook.after_train_iter(runner, 0, dict(data_samples=[sample(view) for view in views]))
    hook.after_train(runner)


def test_counts_per_sample(runner):
    train(runner, [0] * 6, [1] * 6, [1] * 3)
    assert runner.lines == ['how often each sample was seen in each view: '
                            '0: 1, 1: 1.5, 2: 0, 3: 0']


def test_resumed_training_goes_on_counting(runner):
    train(runner, [0] * 6)
    state = runner.message_hub.state_dict()
    runner.message_hub = MessageHub('views-resumed')
    runner.message_hub.load_state_dict(state)
    train(runner, [2] * 6)
    assert runner.lines[-1].endswith('0: 1, 1: 0, 2: 1, 3: 0')


def test_every_process_counts_for_all(runner, monkeypatch):
    monkeypatch.setattr(view_report, 'get_world_size', lambda: 2)
    train(runner, [0] * 3)
    assert runner.lines[-1].endswith('0: 1, 1: 0, 2: 0, 3: 0')


def test_other_data_is_not_counted(runner):
    runner.train_dataloader.dataset = object()
    ViewReportHook().after_train_iter(runner, 0, dict(data_samples=[object()]))
    ViewReportHook().after_train_iter(runner, 0, None)
    ViewReportHook().after_train(runner)
    assert runner.lines == []

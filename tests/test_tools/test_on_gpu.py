"""A whole search on a pretended GPU."""
from pretend_device import pretend_cuda


def test_search(search, study_of):
    with pretend_cuda() as device:
        folder = search('--trials', '1', '--cfg-options', 'train_cfg.final_round=None',
                        'train_cfg.rejection=None')
    assert any(wait.ours for wait in device.waits)  # it was on the GPU
    assert (folder / 'best_distiller.py').exists()
    assert [trial.state.name for trial in study_of(folder).trials] == ['COMPLETE']

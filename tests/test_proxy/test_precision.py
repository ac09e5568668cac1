import pytest
import torch

from autokd_mm.proxy import precision
from autokd_mm.proxy.settings import ProxySettings

HALF = ProxySettings(precision='bfloat16')
CPU = torch.device('cpu')


def told(monkeypatch, half, settings=HALF, device=CPU):
    times = {torch.float32: 1e-3, torch.bfloat16: half}
    monkeypatch.setattr(precision, 'seconds', times.__getitem__)
    return precision.slow_precision(settings, device)


def test_a_cpu_that_pretends_is_told_of(monkeypatch):
    assert told(monkeypatch, 13e-3) == (
        'proxy.precision=bfloat16: this CPU has no instructions for it, a convolution takes 13 '
        'times as long as in float32; without the key candidates are faster')


@pytest.mark.parametrize('half, settings, device', [
    (0.4e-3, HALF, CPU), (1.4e-3, HALF, CPU), (13e-3, ProxySettings(), CPU),
    (13e-3, HALF, torch.device('cuda'))])
def test_nothing_is_said_elsewhere(monkeypatch, half, settings, device):
    assert told(monkeypatch, half, settings, device) is None


def test_it_is_measured_and_draws_nothing():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    found = precision.slow_precision(HALF, CPU)
    assert found is None or 'times as long' in found
    assert torch.equal(torch.get_rng_state(), before)
    assert 0 < precision.seconds(torch.bfloat16) < 10

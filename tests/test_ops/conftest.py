"""Parity is with the compiled mmcv where one is installed; the rest runs with either."""
import pytest
import torch
from ops_in_turn import stand_in_used

from autokd_mm import ops


@pytest.fixture
def compiled():
    """A test of parity, which says so when there is nothing to compare with."""
    if ops.stands_in():
        pytest.skip('the compiled mmcv is not installed: nothing to compare with')


@pytest.fixture
def stand_in():
    """mmcv's functions call the stand-in in this test."""
    with stand_in_used():
        yield


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

"""Dataloaders that give a training no epoch."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader

from autokd_mm.datasets.epochs import refuse_no_epoch
from autokd_mm.errors import ConfigError

DATA = torch.utils.data.TensorDataset(torch.zeros(10))


def loader(sampler, size=4, **more):
    return DataLoader(DATA, size, sampler=sampler(DATA), **more)


@pytest.mark.parametrize('by_epoch', [True, False])
def test_fewer_images_than_a_batch(by_epoch):
    refuse_no_epoch(loader(DefaultSampler, 16), by_epoch)
    refuse_no_epoch(loader(DefaultSampler, 10, drop_last=True), by_epoch)
    with pytest.raises(ConfigError, match='^train_dataloader.drop_last=True: 10 images make no '
                                          'batch of 16'):
        refuse_no_epoch(loader(DefaultSampler, 16, drop_last=True), by_epoch)


def test_a_sampler_without_an_end_wants_a_loop_of_iterations():
    endless = loader(InfiniteSampler, 16, drop_last=True)  # a batch goes round the data set
    refuse_no_epoch(endless, False)
    with pytest.raises(ConfigError, match='^train_dataloader.sampler: InfiniteSampler never ends'):
        refuse_no_epoch(endless, True)


def test_a_sampler_of_batches_without_an_end():

    class GroupMultiSourceSampler:
        """Known by its name, as MMDetection's."""

    class MyBatches(GroupMultiSourceSampler):
        pass

    batches = SimpleNamespace(sampler=DefaultSampler(DATA), batch_sampler=MyBatches())
    with pytest.raises(ConfigError, match='MyBatches never ends an epoch'):
        refuse_no_epoch(batches, True)

"""MMSyncBN of mmcv on the stand-in, beside torch's batch normalisation; the compiled one needs a
GPU."""
import pytest
import torch
import torch.distributed as dist
from mmcv.ops import SyncBatchNorm


@pytest.fixture
def alone(tmp_path):
    """A process group of one."""
    dist.init_process_group('gloo', init_method=f'file://{tmp_path / "meeting"}', rank=0,
                            world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize('mode', ['default', 'N'])
def test_it_is_batch_normalisation(stand_in, alone, generator, mode):
    ours, wanted = SyncBatchNorm(3, stats_mode=mode), torch.nn.BatchNorm2d(3)
    wanted.load_state_dict(ours.state_dict())
    for _ in range(3):
        maps = torch.randn(4, 3, 2, 5, generator=generator) * 2 + 1
        weights = torch.randn(4, 3, 2, 5, generator=generator)
        found = []
        for layer in (ours, wanted):
            layer.zero_grad()
            x = maps.clone().requires_grad_()
            y = layer(x)
            (y * weights).sum().backward()
            found.append([y, x.grad, layer.weight.grad, layer.bias.grad, *layer.buffers()])
        for one, other in zip(*found):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    ours.eval(), wanted.eval()
    torch.testing.assert_close(ours(maps), wanted(maps))

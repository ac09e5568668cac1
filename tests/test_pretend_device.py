"""The GPU that is not there refuses what a GPU refuses, and sees every wait."""
import copy

import pretend_tensor
import pytest
import torch
from pretend_device import DeviceFault, PretendTensor, pretend_cuda
from torch import nn
from torch.nn import functional as F


@pytest.fixture
def cuda():
    with pretend_cuda() as device:
        yield device


def kinds(waits):
    return [wait.kind for wait in waits]


def test_made_and_moved(cuda):
    made = [torch.zeros(2, device='cuda'), torch.tensor([1., 2.], device='cuda'),
            torch.ones(2).to('cuda'), torch.ones(2).cuda(), torch.as_tensor([1, 2], device='cuda'),
            torch.rand(2, device=torch.device('cuda:0')), torch.arange(2, device='cuda')]
    like = made[0]
    made += [torch.zeros_like(like), like.new_zeros(2), like.new_tensor([1, 2]), like + 1,
             torch.ones(2).to(like), like.to('cuda'), like.double(), F.relu(like),
             like.expand(3, 2)]
    assert all(isinstance(tensor, PretendTensor) and tensor.device == torch.device('cuda:0')
               and tensor.is_cuda and not tensor.is_cpu for tensor in made)
    back = [like.cpu(), like.to('cpu'), torch.zeros_like(like, device='cpu'), torch.zeros(2)]
    assert not any(isinstance(tensor, PretendTensor) for tensor in back)
    assert made[1].tolist() == [1, 2]


@pytest.mark.parametrize('meeting', [
    lambda here, there: there + here,
    lambda here, there: torch.cat([there, here]),
    lambda here, there: torch.stack([there[0], torch.tensor(1.)]),
    lambda here, there: here.add_(there),
    lambda here, there: torch.tensor(0.).add_(there[0]),
    lambda here, there: here[there.long()],
    lambda here, there: F.mse_loss(here, there),
    lambda here, there: F.linear(there, torch.ones(2, 2)),
    lambda here, there: torch.minimum(there, here),
    lambda here, there: torch.where(there > 0, there, here),
    lambda here, there: torch.rand(2, device='cuda', generator=torch.Generator()),
])
def test_two_devices_do_not_meet(cuda, meeting):
    with pytest.raises(DeviceFault, match='cpu|CPU'):
        meeting(torch.ones(2), torch.ones(2, device='cuda'))


def test_numbers_and_indices_may(cuda):
    there = torch.ones(3, device='cuda')
    assert (there * torch.tensor(2.)).sum().item() == 6
    assert (there * 2 + 1).tolist() == [3, 3, 3]
    assert there[torch.tensor([0, 1])].shape == (2, )


@pytest.mark.parametrize('wait, kind', [
    (lambda x: x.sum().item(), 'item'), (lambda x: float(x[0]), 'item'),
    (lambda x: bool((x > 0).all()), 'item'), (lambda x: 1 if x[0] > 0 else 0, 'item'),
    (lambda x: list(range(x[0].int())), 'item'),
    (lambda x: x.nonzero(), 'nonzero'), (lambda x: torch.where(x > 0), 'nonzero'),
    (lambda x: x[x > 0], 'boolean index'), (lambda x: x.masked_select(x > 0), 'masked_select'),
    (lambda x: x.unique(), 'unique'), (lambda x: x.cpu(), 'copied over'),
    (lambda x: x.tolist(), 'copied over'), (lambda x: x.to('cpu', torch.float64), 'copied over'),
    (lambda x: torch.tensor(1., device='cuda'), 'copied over'),
    (lambda x: x.new_tensor((1, 2)), 'copied over'),
    (lambda x: torch.ones(2).to(x), 'copied over'),
    (lambda x: x.copy_(torch.zeros(3)), 'copied over'),
    (lambda x: x[[0, 1]], 'index copied over'),
    (lambda x: x[torch.tensor([1])], 'index copied over'),
    (lambda x: x.__setitem__([0], 1.), 'index copied over'),
    (lambda x: x.__setitem__(x > 0, x.clone()), 'boolean index'),
    (lambda x: torch.equal(x, x), 'equal'),
])
def test_waits_are_counted(cuda, wait, kind):
    there = torch.ones(3, device='cuda')
    with cuda.counted() as waits:
        wait(there)
    assert kind in kinds(waits)
    assert {where.line.split(':')[0] for where in waits} == {'tests/test_pretend_device.py'}


def test_what_a_gpu_does_by_itself_is_no_wait(cuda):
    there = torch.ones(3, device='cuda')
    with cuda.counted() as waits:
        there[there > 0] = 2.  # filled, as torch does it
        there[1:] += 1
        torch.zeros(3, device='cuda').copy_(there)
        torch.ones(3).to('cuda', non_blocking=True)
        torch.where(there > 0, there, torch.zeros_like(there)).clamp(max=2.).sum()
        (there * 2).to('cuda')
        torch.tensor([1, 2]).tolist()
    assert not waits and there.tolist() == [2, 3, 3]


def hidden(x):
    return F.relu(x) * x.max().item()


def test_a_line_of_ours_is_told_from_others(cuda, monkeypatch):
    from autokd_mm.proxy.stepping import refuse_infinite
    there = torch.ones(3, device='cuda')
    with cuda.counted() as waits:
        refuse_infinite(there.sum(), 'now')
        hidden(there)
    ours = [wait for wait in waits if wait.ours]
    assert len(waits) == 2 and len(ours) == 1
    assert ours[0].line.startswith('autokd_mm/proxy/stepping.py:')


def test_a_training_gives_the_same_bits(cuda):
    torch.manual_seed(0)
    here = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True), nn.Flatten(),
                         nn.Linear(4 * 36, 2))
    there = copy.deepcopy(here).to('cuda')
    images, labels = torch.randn(5, 3, 8, 8), torch.tensor([0, 1, 0, 1, 1])
    states = []
    for model in (here, there, copy.deepcopy(there)):
        device = next(model.parameters()).device
        assert all(isinstance(parameter, nn.Parameter) for parameter in model.parameters())
        optim = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        for _ in range(3):
            optim.zero_grad()
            F.cross_entropy(model(images.to(device)), labels.to(device)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optim.step()
        states.append({name: value.cpu() for name, value in model.state_dict().items()})
    for found in states[1:]:
        assert all(torch.equal(found[name], states[0][name]) for name in found)


def test_nothing_is_left_behind():
    before = torch.cuda.is_available(), torch.tensor
    with pretend_cuda():
        assert torch.cuda.is_available()
    assert (torch.cuda.is_available(), torch.tensor) == before
    assert not isinstance(torch.zeros(1), PretendTensor)
    assert pretend_tensor.OURS.endswith('autokd_mm/')

"""Multi-scale deformable attention on the stand-in, beside mmcv's own path in pure torch."""
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention, multi_scale_deform_attn
from mmcv.ops.multi_scale_deform_attn import (MultiScaleDeformableAttnFunction,
                                              multi_scale_deformable_attn_pytorch)

SHAPES = torch.tensor([[4, 5], [2, 3], [1, 1]])
STARTS = torch.tensor([0, 20, 26])


def drawn(generator, dtype=torch.float64, batch=2, queries=3, heads=2, size=4, points=2):
    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return [value.requires_grad_() for value in (
        random(batch, 27, heads, size), random(batch, queries, heads, 3, points, 2) * 1.4 - 0.2,
        random(batch, queries, heads, 3, points))]


def on_stand_in(value, points, weights):
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, points, weights, 64)


def test_it_is_the_path_of_pure_torch(stand_in, generator):
    for _ in range(5):
        inputs = drawn(generator)
        found = on_stand_in(*inputs)
        wanted = multi_scale_deformable_attn_pytorch(inputs[0], SHAPES, *inputs[1:])
        torch.testing.assert_close(found, wanted)
        scale = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view_as(found)
        for one, other in zip(*(torch.autograd.grad((out * scale).sum(), inputs)
                                for out in (found, wanted))):
            torch.testing.assert_close(one, other)


def test_gradient(stand_in, generator):
    inputs = drawn(generator, queries=2, size=2)
    assert torch.autograd.gradcheck(on_stand_in, inputs, fast_mode=True)


def test_half_precision(stand_in, generator):
    inputs = drawn(generator, torch.float16)
    found = on_stand_in(*inputs)
    assert found.dtype == torch.float16
    wanted = on_stand_in(*(value.float() for value in inputs))
    torch.testing.assert_close(found.float(), wanted, rtol=0.01, atol=0.01)
    found.float().sum().backward()
    assert all(value.grad.dtype == torch.float16 for value in inputs)


def test_the_module_takes_it_on_a_gpu(stand_in, generator, monkeypatch):
    """On a GPU mmcv calls the extension; here its condition is made to say that this is one."""
    module = MultiScaleDeformableAttention(8, num_heads=2, num_levels=3, num_points=2,
                                           batch_first=True, dropout=0.)
    query = torch.rand(1, 4, 8, generator=generator)
    arguments = dict(value=torch.rand(1, 27, 8, generator=generator), spatial_shapes=SHAPES,
                     reference_points=torch.rand(1, 4, 3, 2, generator=generator),
                     level_start_index=STARTS)
    wanted = module(query, **arguments)
    called = []
    ours = multi_scale_deform_attn.ext_module.ms_deform_attn_forward
    monkeypatch.setattr(multi_scale_deform_attn.ext_module, 'ms_deform_attn_forward',
                        lambda *args, **kwargs: called.append(1) or ours(*args, **kwargs))
    monkeypatch.setattr(multi_scale_deform_attn, 'IS_CUDA_AVAILABLE', True)
    monkeypatch.setattr(torch.Tensor, 'is_cuda', property(lambda tensor: True))
    found = module(query, **arguments)
    assert called
    torch.testing.assert_close(found, wanted)


def test_memory_is_less_than_that_of_pure_torch(stand_in, generator):
    """The largest tensor that is held: of one level instead of all of them."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.append(max((value.numel() for value in (out if isinstance(out, (tuple, list))
                                                          else [out])
                              if isinstance(value, torch.Tensor)), default=0))
            return out

    inputs = drawn(generator, queries=50, size=16)
    largest = []
    for attention in (on_stand_in, lambda value, *others: multi_scale_deformable_attn_pytorch(
            value, SHAPES, *others)):
        sizes.clear()
        with Watch():
            attention(*inputs).sum().backward()
        largest.append(max(sizes))
    assert largest[0] <= largest[1] / 3


@pytest.mark.parametrize('queries', [0, 1])
def test_few_queries(stand_in, generator, queries):
    inputs = drawn(generator, queries=queries)
    assert on_stand_in(*inputs).shape == (2, queries, 8)

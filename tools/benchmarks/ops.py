#!/usr/bin/env python3
"""Time and peak memory of the operations that stand in for mmcv's compiled ones.

Each row is a ratio that was measured within one run, ours over theirs, the two in turns: theirs is
the compiled extension or, for an operation that it has on a GPU only, the path in pure torch that
mmcv and MMDetection take on a CPU. Forward and backward, where there is one. Peak memory is what is
allocated beyond the inputs.

    python tools/benchmarks/ops.py [--quick] [--device cpu|cuda] [--threads N] [--out FILE]
"""
import argparse
import importlib
import os
import sys
import warnings

from parts import figures
from parts.turns import peak_bytes, seconds

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

GOAL = '<= 1.1'
COMPILED, TORCH = 'x compiled', 'x pure torch'


class Inputs:
    """What operations get, drawn with one seed; smaller in a quick run."""

    def __init__(self, device, quick):
        import torch
        self.generator = torch.Generator().manual_seed(0)
        self.device, self.quick = device, quick

    def normal(self, *shape):
        import torch
        return torch.randn(*shape, generator=self.generator).to(self.device)

    def boxes(self, count, size):
        """Corners in an image of ``size`` pixels, sides between a hundredth and a third of it."""
        import torch
        center, side = (torch.rand(count, 2, generator=self.generator) for _ in range(2))
        half = size * (0.01 + side * 0.32) / 2
        return torch.cat([center * size - half, center * size + half], 1).to(self.device)


class Step:
    """Forward, and backward to each input that learns."""

    def __init__(self, function, *inputs):
        self.function, self.inputs = function, inputs
        self.learning = [value for value in inputs if value.requires_grad]

    def __call__(self):
        self.forget()
        output = self.function(*self.inputs)
        if self.learning:
            output.sum().backward()

    def forget(self):
        for value in self.learning:
            value.grad = None


def nms(inputs, count):
    from mmcv.ops import nms
    boxes = inputs.boxes(count, 800)
    scores = inputs.normal(count).sigmoid()
    return Step(lambda: nms(boxes, scores, 0.7))


def soft_nms(inputs, count):
    from mmcv.ops import soft_nms
    boxes = inputs.boxes(count, 800)
    scores = inputs.normal(count).sigmoid()
    return Step(lambda: soft_nms(boxes, scores))


def roi_align(inputs, count, points=0):
    import torch
    from mmcv.ops import roi_align
    maps = inputs.normal(2, 64 if inputs.quick else 256, 100, 168).requires_grad_()
    boxes = inputs.boxes(count, 400)
    rois = torch.cat([(torch.arange(count) % 2)[:, None].to(boxes), boxes], 1)
    return Step(lambda maps: roi_align(maps, rois, (7, 7), 0.25, points, 'avg', True), maps)


def deform_conv(inputs, batch, masked):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d
    channels, size = (64, (25, 42)) if inputs.quick else (256, (50, 84))
    maps, moves = inputs.normal(batch, channels, *size), inputs.normal(batch, 18, *size)
    masks = inputs.normal(batch, 9, *size).sigmoid()
    weight = inputs.normal(channels, channels, 3, 3)
    tensors = [maps, moves, masks, weight, inputs.normal(channels)]
    for tensor in tensors:
        tensor.requires_grad_()
    if masked:
        return Step(lambda *args: modulated_deform_conv2d(*args, 1, 1), *tensors)
    return Step(lambda *args: deform_conv2d(*args, 1, 1), maps, moves, weight)


def focal_losses(inputs):
    """The operation, and MMDetection's formula for a CPU."""
    import torch
    from mmcv.ops import sigmoid_focal_loss
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
    rows, classes = (20000 if inputs.quick else 200000), 80
    logits = inputs.normal(rows, classes).requires_grad_()
    target = torch.randint(0, classes + 1, (rows, ), generator=inputs.generator)
    target = target.to(inputs.device)

    def formula(logits):
        hit = torch.nn.functional.one_hot(target, classes + 1)[:, :classes]
        return py_sigmoid_focal_loss(logits, hit, gamma=2., alpha=0.25, reduction='sum')

    return [Step(lambda logits: sigmoid_focal_loss(logits, target, 2., 0.25, None, 'sum'),
                    logits), Step(formula, logits)]


def attentions(inputs):
    """The operation, and mmcv's path for a CPU: an encoder of Deformable DETR."""
    import torch
    from mmcv.ops.multi_scale_deform_attn import (MultiScaleDeformableAttnFunction,
                                                  multi_scale_deformable_attn_pytorch)
    sizes = [(50, 84), (25, 42), (13, 21), (7, 11)]
    if not inputs.quick:
        sizes = [(100, 168)] + sizes[:3]
    shapes = torch.tensor(sizes, device=inputs.device)
    areas = shapes.prod(1)
    starts, keys = areas.cumsum(0) - areas, int(areas.sum())
    tensors = [inputs.normal(1, keys, 8, 32), inputs.normal(1, keys, 8, 4, 4, 2).sigmoid(),
               inputs.normal(1, keys, 8, 16).softmax(-1).view(1, keys, 8, 4, 4)]
    for tensor in tensors:
        tensor.requires_grad_()
    return [Step(lambda value, *others: MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, *others, 64), *tensors),
            Step(lambda value, *others: multi_scale_deformable_attn_pytorch(
                value, shapes, *others), *tensors)]


# name: what makes the step, and whether a goal is set
AGAINST_COMPILED = {
    'nms/1000': (lambda inputs: nms(inputs, 1000), True),
    'nms/5000': (lambda inputs: nms(inputs, 5000), True),
    'soft_nms/500': (lambda inputs: soft_nms(inputs, 500), False),
    'roi_align/N64': (lambda inputs: roi_align(inputs, 64), True),
    'roi_align/N512-2-points': (lambda inputs: roi_align(inputs, 512, 2), True),
    'deform_conv/B2': (lambda inputs: deform_conv(inputs, 2, masked=False), False),
    'modulated_deform_conv/B1': (lambda inputs: deform_conv(inputs, 1, masked=True), True),
    'modulated_deform_conv/B4': (lambda inputs: deform_conv(inputs, 4, masked=True), True),
}
AGAINST_TORCH = {'sigmoid_focal_loss': focal_losses, 'ms_deform_attn': attentions}


class OnStandIn:
    """A step with the stand-in under mmcv's functions, whatever is installed."""

    def __init__(self, step):
        from autokd_mm.ops import StandIn
        names = ('nms', 'roi_align', 'deform_conv', 'modulated_deform_conv', 'focal_loss',
                 'multi_scale_deform_attn')
        self.modules = [importlib.import_module(f'mmcv.ops.{name}') for name in names]
        self.step, self.stand_in = step, StandIn('the compiled mmcv')
        self.forget = step.forget

    def __call__(self):
        before = [module.ext_module for module in self.modules]
        for module in self.modules:
            module.ext_module = self.stand_in
        try:
            self.step()
        finally:
            for module, extension in zip(self.modules, before):
                module.ext_module = extension


def compare(found, prefix, steps, args, device, unit, goal):
    times = seconds(steps, device, args.budget)
    peaks = []
    for step in steps:
        step.forget()
        peaks.append(peak_bytes(step, device))
    for what, (ours, theirs) in (('time', times), ('memory', peaks)):
        ratio = ours / theirs if theirs else None
        found.add(f'{device}/{prefix}/{what}', ratio, unit, goal if ratio is not None else None)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu',
                        help='cuda: where the compiled extension has operations for it')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU (default: 1)')
    parser.add_argument('--only', metavar='NAME', help='operations whose name begins with it')
    parser.add_argument('--budget', type=float, default=5.0, metavar='SECONDS',
                        help='for the turns of one operation (default: 5)')
    return figures.parse(parser, dict(budget=0.5))


def main():
    args = parse_args()
    import torch
    warnings.simplefilter('ignore')
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    from autokd_mm import ops
    found = figures.Figures()
    for name, (make, goal) in AGAINST_COMPILED.items():
        if not name.startswith(args.only or ''):
            continue
        if ops.stands_in():
            print(f'{name}: the compiled mmcv is not installed, nothing to compare with')
            continue
        step = make(Inputs(args.device, args.quick))
        compare(found, name, [OnStandIn(step), step], args, args.device, COMPILED,
                GOAL if goal else None)
    for name, make in AGAINST_TORCH.items():
        if name.startswith(args.only or ''):
            ours, theirs = make(Inputs(args.device, args.quick))
            compare(found, name, [OnStandIn(ours), theirs], args, args.device, TORCH, None)
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)

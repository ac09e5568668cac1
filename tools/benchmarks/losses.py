#!/usr/bin/env python3
"""Time and peak memory of the losses, forward and backward, beside MMRazor's.

Each row is a ratio that was measured within one run, ours over theirs, the two in turns. For an
operation that MMRazor does not have, the time is given in copies: over that of copying the
student's and the teacher's feature once, so that the distance to the limit of the memory is seen.
Peak memory is what is allocated beyond the features, the student's gradient included.

    python tools/benchmarks/losses.py [--quick] [--device cpu|cuda] [--threads N] [--out FILE]
"""
import argparse
import os
import sys
import warnings
from functools import lru_cache

from parts import figures
from parts.turns import peak_bytes, seconds

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

FPN = [(100, 168), (50, 84), (25, 42), (13, 21), (7, 11)]
SIZES = {
    'N64-C256-8x8': [(64, 256, 8, 8)],
    'N8-C512-64x64': [(8, 512, 64, 64)],
    'FPN-N2-C256': [(2, 256, height, width) for height, width in FPN],
}
LOGITS = {'N64-K100': [(64, 100)], 'N1024-K1000': [(1024, 1000)]}

# name: (ours, MMRazor's, goals of time and memory)
SAME, ANGLE = (1.0, 1.0), (0.5, 0.1)
CONVOLUTIONS = (1.05, 1.0)  # nearly all of it is the same two convolutions; 5 % for the clock
COUNTERPARTS = {
    'l2': (dict(), dict(type='L2Loss', normalize=False, div_element=True), SAME),
    'cosine': (dict(distance='cosine'), dict(type='L2Loss'), SAME),
    'at': (dict(transform='spatial_attention'), dict(type='ATLoss'), SAME),
    'kl-pixel': (dict(distance='kl', temperature=4.), dict(type='KLDivergence', tau=4.), SAME),
    'kl-channel': (dict(distance='kl', inter='channel', temperature=4.),
                   dict(type='ChannelWiseDivergence', tau=4.), SAME),
    'pearson-channel': (dict(distance='pearson', inter='channel'), dict(type='PKDLoss'), SAME),
    'rkd-distance': (dict(distance='rkd_distance', inter='sample'), dict(type='DistanceWiseRKD'),
                     SAME),
    'rkd-angle': (dict(distance='rkd_angle', inter='sample'), dict(type='AngleWiseRKD'), ANGLE),
    'mgd': (dict(transform='random_mask', mask_ratio=0.65), dict(type='MGDLoss'),
            CONVOLUTIONS),
}
OF_LOGITS = {
    'logits-kl': (dict(distance='kl'), dict(type='KLDivergence', tau=4.), SAME),
    'logits-dist': (dict(distance='pearson_both'), dict(type='DISTLoss', tau=4.), SAME),
}
ALONE = {
    'l2-sample': dict(inter='sample'),
    'l2-channel': dict(inter='channel'),
    'pearson': dict(distance='pearson'),
    'pearson-sample': dict(distance='pearson', inter='sample'),
    'kl-sample': dict(distance='kl', inter='sample', temperature=4.),
    'gram-sample': dict(distance='gram_l2', inter='sample'),
    'gram-channel': dict(distance='gram_l2', inter='channel'),
    'correlation': dict(distance='correlation', inter='sample'),
    'channel-attention': dict(transform='channel_attention'),
    'attention-mask': dict(transform='attention_mask'),
    'multi-scale': dict(intra='multi_scale'),
    'local-cosine': dict(intra='local', distance='cosine'),
    'local-correlation': dict(intra='local', distance='local_correlation'),
}


class Step:
    """One loss on one or more pairs of features: forward and backward."""

    def __init__(self, losses, pairs):
        self.losses, self.pairs = losses, pairs

    def __call__(self):
        for loss, (student, teacher) in zip(self.losses, self.pairs):
            student.grad = None
            loss(student, teacher).backward()

    def peak_bytes(self, device):
        """The most that is allocated beyond the features, their gradients included."""
        for student, _ in self.pairs:
            student.grad = None
        return peak_bytes(self, device)


class MGD:
    """MMRazor's connector and loss, together what ours is."""

    def __init__(self, build, channels):
        self.connector = build(dict(type='MGDConnector', student_channels=channels,
                                    teacher_channels=channels))
        self.loss = build(dict(type='MGDLoss'))

    def to(self, device):
        self.connector.to(device)
        return self

    def __call__(self, student, teacher):
        return self.loss(self.connector(student), teacher)


@lru_cache(maxsize=1)  # the cases of one size follow each other
def make_pairs(shapes, device):
    import torch
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.randn(shape, generator=generator).to(device).requires_grad_(is_student)
                  for is_student in (True, False)) for shape in shapes]


class Benchmark:

    def __init__(self, device, quick, budget, found):
        # Importing the package makes MMRazor loadable and registers its losses, too.
        from autokd_mm.models.losses import FeatureLoss, LogitsLoss
        from autokd_mm.registry import MODELS
        self.ours = {'feature': FeatureLoss, 'logits': LogitsLoss}
        self.build = lambda config: MODELS.build(dict(config, _scope_='mmrazor'))
        self.device, self.quick, self.budget, self.found = device, quick, budget, found

    def step_of_ours(self, kind, arguments, pairs):
        losses = []
        for student, _ in pairs:
            more = {}
            if arguments.get('transform') == 'random_mask':
                more['channels'] = student.shape[1]
            losses.append(self.ours[kind](**arguments, **more).to(self.device))
        return Step(losses, pairs)

    def step_of_theirs(self, config, pairs):
        def loss(channels):
            if config['type'] == 'MGDLoss':
                return MGD(self.build, channels).to(self.device)
            return self.build(config)

        return Step([loss(student.shape[1]) for student, _ in pairs], pairs)

    def compare(self, kind, name, size, shapes, ours, theirs, goals):
        pairs = make_pairs(tuple(shapes), self.device)
        steps = [self.step_of_ours(kind, ours, pairs), self.step_of_theirs(theirs, pairs)]
        times = seconds(steps, self.device, self.budget)
        peaks = [step.peak_bytes(self.device) for step in steps]
        prefix = f'{self.device}/{name}/{size}'
        against = f'x {theirs["type"]}'
        for what, (ours, theirs), goal in zip(('time', 'memory'), (times, peaks), goals):
            self.found.add(f'{prefix}/{what}', ours / theirs, against, f'<= {goal:g}')

    def measure(self, name, size, shapes, ours):
        pairs = make_pairs(tuple(shapes), self.device)

        def copy():
            for student, teacher in pairs:
                student.detach().clone()
                teacher.clone()

        step = self.step_of_ours('feature', ours, pairs)
        times = seconds([step, copy], self.device, self.budget)
        features = sum(student.numel() * student.element_size() for student, _ in pairs)
        prefix = f'{self.device}/{name}/{size}'
        self.found.add(f'{prefix}/time', times[0] / times[1], 'copies of both features')
        self.found.add(f'{prefix}/memory', step.peak_bytes(self.device) / features, 'features')

    def run(self, only=None, sizes=SIZES, logits=LOGITS):
        def wanted(name):
            return not only or name == only

        for size, shapes in sizes.items():
            for name, (ours, theirs, goals) in COUNTERPARTS.items():
                if not wanted(name):
                    continue
                if name.startswith('rkd') and shapes[0][0] < 3:
                    continue  # two samples have no relation
                if name == 'mgd' and self.quick and self.device == 'cpu' and '8x8' not in size:
                    continue  # nothing but convolutions, for a minute
                self.compare('feature', name, size, shapes, ours, theirs, goals)
            for name, ours in ALONE.items():
                if wanted(name):
                    self.measure(name, size, shapes, ours)
        for size, shapes in logits.items():
            for name, (ours, theirs, goals) in OF_LOGITS.items():
                if wanted(name):
                    self.compare('logits', name, size, shapes, ours, theirs, goals)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=['cpu', 'cuda'],
                        help='cpu or cuda; all that there are if not given')
    parser.add_argument('--threads', type=int, default=1,
                        help='of the CPU; with more than one, what a busy machine does to the '
                        'slower of them is measured too (default: 1)')
    parser.add_argument('--only', metavar='NAME', help='one operation, such as mgd')
    parser.add_argument('--budget', type=float, default=5.0, metavar='SECONDS',
                        help='for the turns of one operation at one size (default: 5)')
    return figures.parse(parser, dict(budget=0.3))


def main():
    args = parse_args()
    import torch
    warnings.simplefilter('ignore')
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    devices = [args.device] if args.device else ['cpu'] + ['cuda'] * torch.cuda.is_available()
    found = figures.Figures()
    for device in devices:
        Benchmark(device, args.quick, args.budget, found).run(args.only)
    found.finish(args)


if __name__ == '__main__':
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import _cli
    _cli.run(main)

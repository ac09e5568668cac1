#!/usr/bin/env python3
"""What a candidate's step costs: with the bank, with the teacher online, without distillation.

    python tools/benchmarks/search_cost.py configs/search/digits.py --work-dir W --distillers 50

For random distillers of the config's space, steps of four kinds are made in turns on the same
batches: the undistilled student's (twice, so that the noise is seen), ours with the teacher from
the bank, and MMRazor's SingleTeacherDistill with the teacher online and the same losses. The limit
of the last ratio is that of the floating point operations, backward counted twice the forward:
(teacher + 3 student) / (3 student).
"""
import copy
import os
import random
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import _cli  # noqa: E402
from parts import figures  # noqa: E402


def parse_args():
    parser = _cli.parser(__doc__.split('\n\n')[0])
    parser.add_argument('--distillers', type=int, default=50)
    parser.add_argument('--steps', type=int, default=8, help='timed steps of each kind')
    return figures.parse(parser, dict(distillers=3, steps=2))


class Steps:
    """Steps of the three kinds over one batch of the bank after the other."""

    def __init__(self, bench):
        self.bench, self.trainer = bench, bench.trainer
        self.rows = next(self.trainer.batches(0))
        self.initial = self.trainer.builder.initial(self.trainer.settings.seed)

    def ours(self, spec):
        """A candidate as the search trains it; without a spec the undistilled student."""
        from mmengine.optim import build_optim_wrapper
        trainer = self.trainer
        candidate = trainer.builder.build(spec, self.initial).train()
        optim = build_optim_wrapper(candidate, copy.deepcopy(trainer.optim_wrapper))

        def step(number):
            inputs = trainer.training_batch(candidate, self.rows[number % len(self.rows)])
            with optim.optim_context(candidate), trainer.precision():
                loss = sum(candidate.losses(*inputs))
            optim.update_params(loss)

        return step

    def online(self, spec):
        """MMRazor's algorithm with our losses and its own way with the teacher."""
        from mmengine.optim import build_optim_wrapper

        from autokd_mm.measure.losses import total_loss
        from autokd_mm.models.distillers import distiller_config
        from autokd_mm.registry import MODELS
        trainer, config = self.trainer, self.bench.config.model
        teacher = copy.deepcopy(self.bench.runner.model.teacher).to(trainer.device)
        model = MODELS.build(dict(
            type='mmrazor.SingleTeacherDistill', architecture=copy.deepcopy(config.architecture),
            teacher=teacher, distiller=distiller_config(spec, self.bench.task.layers)))
        model.architecture.load_state_dict(self.initial.state_dict())
        model = model.to(trainer.device)
        model.train()  # which returns nothing in MMRazor
        optim = build_optim_wrapper(model, copy.deepcopy(trainer.optim_wrapper))

        def step(number):
            rows = self.rows[number % len(self.rows)]
            inputs, samples = trainer.train_images.inputs(self.initial, rows, True)
            with optim.optim_context(model), trainer.precision():
                loss = total_loss(model.loss(inputs, samples))
            optim.update_params(loss)

        return step


def in_turns(kinds, steps, synchronize):
    """Median seconds of each kind's step; the machine's drift meets all alike."""
    for _ in range(2):
        for number, step in enumerate(kinds.values()):
            step(number)
    seconds = {name: [] for name in kinds}
    for number in range(steps):
        for name, step in kinds.items():
            synchronize()
            before = time.perf_counter()
            step(number)
            synchronize()
            seconds[name].append(time.perf_counter() - before)
    return {name: statistics.median(values) for name, values in seconds.items()}


def flops(model, image):
    from mmengine.analysis import FlopAnalyzer
    return FlopAnalyzer(copy.deepcopy(model).cpu().eval(), image).total()


def networks(bench, steps):
    """Operations of the student's and the teacher's forward pass of one image."""
    import torch

    from autokd_mm.layers.find import inputs_for
    bank = bench.trainer.held_out.images.bank
    pixels = torch.from_numpy(bank.rows('pixels', steps.rows[0][:1] * 0))
    image = inputs_for(bench.runner.model.cpu(), pixels, teacher=False)
    return [flops(model, image) for model in (steps.initial, bench.runner.model.teacher)]


def compare(bench, steps, args):
    """What each of some random distillers costs, as a list of dicts."""
    import torch
    synchronize = (torch.cuda.synchronize if bench.trainer.device.type == 'cuda'
                   else lambda: None)
    specs = list(bench.task.space.enumerate())
    random.Random(0).shuffle(specs)
    rows = []
    for number, spec in enumerate(specs[:args.distillers], 1):
        median = in_turns(dict(plain=steps.ours(None), bank=steps.ours(spec),
                               online=steps.online(spec), again=steps.ours(None)),
                          args.steps, synchronize)
        plain = (median['plain'] + median['again']) / 2
        rows.append(dict(plain_ms=plain * 1e3, noise=median['again'] / median['plain'],
                         over_plain=median['bank'] / plain,
                         online_over_bank=median['online'] / median['bank']))
        print(f'{number} of {args.distillers}: {spec.in_words()} '
              + ' '.join(f'{name}={value:.3f}' for name, value in rows[-1].items()), flush=True)
    return rows


def tell(found, rows, student, teacher):
    """Medians over distillers, beside what the operations of the networks allow."""
    limit = (teacher + 3 * student) / (3 * student)
    over_plain = [row['over_plain'] for row in rows]
    quartiles = statistics.quantiles(over_plain, n=4) if len(rows) > 1 else over_plain * 3
    found.add('student, forward pass of one image', student / 1e6, 'MFLOP')
    found.add('teacher, forward pass of one image', teacher / 1e6, 'MFLOP')
    found.add('limit of MMRazor online / ours', limit, 'x')
    found.add('distillers', len(rows), 'distillers')
    for name, key, unit, goal in (
            ('plain student step', 'plain_ms', 'ms', None),
            ('plain student step / itself, the noise', 'noise', 'x', None),
            ('step with the bank / plain student step', 'over_plain', 'x', '<= 1.1'),
            ('step of MMRazor online / step with the bank', 'online_over_bank', 'x',
             f'>= {0.9 * limit:.4g}')):
        found.add(f'{name}, median', statistics.median(row[key] for row in rows), unit, goal)
    for name, value in (('lower', quartiles[0]), ('upper', quartiles[2])):
        found.add(f'step with the bank / plain student step, {name} quartile', value, 'x')


def main():
    args = parse_args()
    import torch
    from parts.candidates import Candidates
    bench = Candidates(args, test_images=1)
    steps, found = Steps(bench), figures.Figures()
    student, teacher = networks(bench, steps)
    rows = compare(bench, steps, args)
    print(f'{args.config}: batches of {bench.trainer.settings.batch_size} on '
          f'{bench.trainer.device}, {torch.get_num_threads()} threads')
    tell(found, rows, student, teacher)
    found.finish(args)


if __name__ == '__main__':
    _cli.run(main)

#!/usr/bin/env python3
"""What only a GPU can show, in ten minutes: whether it works there, and what it costs.

    python tools/benchmarks/gpu_check.py --work-dir W [--out FILE.json]

In this order: searches of digits and of RetinaNet on digit scenes, from the teacher's training to
the written config; a candidate's step beside a plain one, in both, by the GPU's own clock; a
training in float16 with a GradScaler beside one in float32; how fast batches come from the bank to
the GPU, beside a pinned copy; losses beside MMRazor's in time and memory. A part that fails says so
in a line and the others go on; the table at the end has what was found. Without a GPU it says so
and ends with 2; `--device cpu --quick` goes through all of it on a CPU, for the tests.
"""
import argparse
import copy
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import _cli  # noqa: E402
from parts import figures  # noqa: E402

SEARCHES = {
    'digits': ('configs/search/digits.py', 'pearson'),
    'RetinaNet': ('configs/search/digit_scenes_retinanet.py', 'l2'),
}
_SMALL = ['train_cfg.proxy.epochs=1', 'train_cfg.proxy.views=1', 'train_cfg.proxy.batch_size=4',
          'train_cfg.full_training.max_epochs=1', 'train_cfg.full_training.val_interval=1',
          'train_cfg.final_round=None']
# Under --quick: a few steps of small networks.
QUICK = {
    'digits': ['model.teacher.backbone.base_channels=4', 'model.teacher.head.in_channels=16',
               'train_cfg.proxy.images=8', 'train_cfg.proxy.held_out=8', *_SMALL],
    'RetinaNet': ['train_cfg.proxy.images=8', 'train_cfg.proxy.held_out=4',
                  'train_cfg.warm_start=[]', *_SMALL],
}
QUICK_LOSSES = ('l2', 'kl-channel', 'logits-kl')


class Clock:
    """Milliseconds of steps in turns, by events of a GPU; without one by the time of day."""

    def __init__(self, device):
        self.cuda = device == 'cuda'

    def __call__(self, step, number):
        if not self.cuda:
            start = time.perf_counter()
            step(number)
            return 1e3 * (time.perf_counter() - start)
        import torch
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        step(number)
        end.record()
        end.synchronize()
        return start.elapsed_time(end)

    def in_turns(self, kinds, steps):
        """The median of each kind of step."""
        found = {name: [] for name in kinds}
        for number in range(-2, steps):
            for name, step in kinds.items():
                took = self(step, max(number, 0))
                found[name] += [took] if number >= 0 else []
        return {name: statistics.median(times) for name, times in found.items()}


class Check:

    def __init__(self, args, found):
        self.args, self.found, self.clock = args, found, Clock(args.device)
        self.names = [args.only] if args.only else list(SEARCHES)
        self.benches, self.failed = {}, []

    def run(self):
        parts = [(f'search of {name}', lambda name=name: self.search(name))
                 for name in self.names]
        parts += [(f'steps of {name}', lambda name=name: self.steps(name))
                  for name in self.names]
        parts += [('mixed precision', self.mixed), ('bank', self.bank), ('losses', self.losses)]
        for name, part in parts:
            start = time.perf_counter()
            try:
                part()
            except Exception as error:  # whatever it is, the other parts are of interest too
                if os.environ.get('AUTOKD_DEBUG'):
                    raise
                lines = str(error).strip().splitlines() or ['no message']
                self.failed.append(f'{name}: {type(error).__name__}: {lines[0][:300]}')
                print(f'FAILED {self.failed[-1]}', flush=True)
            print(f'-- {name}: {time.perf_counter() - start:.0f} s', flush=True)

    def _args(self, name):
        """As of a command line."""
        from mmengine.config import DictAction
        options = list(QUICK[name]) if self.args.quick else []
        if name != 'digits':
            options.append(f'data_root={self.scenes()}')
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        parsed = parser.parse_args(['--cfg-options', *options] if options else [])
        return argparse.Namespace(config=os.path.join(root, SEARCHES[name][0]), local_rank=0,
                                  cfg_options=parsed.cfg_options,
                                  work_dir=os.path.join(self.args.work_dir, name.lower()))

    def scenes(self):
        from autokd_mm.datasets.digit_scenes import ensure_scenes
        folder = os.path.join(os.path.abspath(self.args.work_dir), 'scenes')
        os.makedirs(folder, exist_ok=True)
        if self.args.quick:
            ensure_scenes(folder, train=12, val=4, size=64)
        return folder + os.sep

    def search(self, name):
        """A search, and the bank, teacher and candidates that the other parts use."""
        from mmengine.runner import Runner
        config = _cli.load(self._args(name))
        config.train_cfg.trials, config.resume = self.args.trials, False
        start = time.perf_counter()
        Runner.from_cfg(config).train()
        self.found.add(f'{name}: search of {self.args.trials} trials, with its teacher',
                       time.perf_counter() - start, 's')
        if not os.path.exists(os.path.join(config.work_dir, 'best_distiller.py')):
            raise RuntimeError('no best_distiller.py in the work dir')

    def bench(self, name):
        if name not in self.benches:
            from parts.candidates import Candidates
            self.benches[name] = Candidates(self._args(name), test_images=1)
        return self.benches[name]

    def spec(self, name):
        from autokd_mm.space import DistillerSpec
        return DistillerSpec('none', connector='conv1x1', intra='none',
                             inter='channel' if name == 'digits' else 'none',
                             distance=SEARCHES[name][1], feature_weight=1,
                             **self.all_regions(name))

    def all_regions(self, name):
        return dict(region='all') if self.bench(name).trainer.train_images.dense else {}

    def steps(self, name):
        from search_cost import Steps
        bench = self.bench(name)
        steps = Steps(bench)
        found = self.clock.in_turns(dict(plain=steps.ours(None), ours=steps.ours(self.spec(name)),
                                         again=steps.ours(None)), self.args.steps)
        plain = (found['plain'] + found['again']) / 2
        self.found.add(f'{name}: plain step', plain, 'ms')
        self.found.add(f'{name}: plain step / itself, the noise', found['again'] / found['plain'],
                       'x')
        self.found.add(f'{name}: step with the bank / plain step', found['ours'] / plain, 'x',
                       '<= 1.1')

    def mixed(self):
        """The full training of digits, its teacher online, in half and in single precision."""
        half = 'float16' if self.args.device == 'cuda' else 'bfloat16'
        made = {name: self.training(name) for name in (half, 'float32')}
        found = self.clock.in_turns({name: step for name, (step, _, _) in made.items()},
                                    self.args.steps)
        losses = {name: float(losses[-1]) for name, (_, losses, _) in made.items()}
        self.found.add(f'step in {half} / in float32', found[half] / found['float32'], 'x')
        self.found.add(f'loss after {self.args.steps + 2} steps, {half} / float32',
                       losses[half] / losses['float32'], 'x', '<= 1.1')
        scaler = getattr(made[half][2], 'loss_scaler', None)
        if scaler is not None:  # 65,536 at the start, halved by each step that overflows
            self.found.add('loss scale at the end', float(scaler.get_scale()), '', '>= 4096')

    def training(self, precision):
        import torch
        from mmengine.optim import build_optim_wrapper

        from autokd_mm.measure.losses import total_loss
        from autokd_mm.models.distillers import distiller_config
        from autokd_mm.optim import usable
        from autokd_mm.registry import MODELS
        bench = self.bench('digits')
        trainer, losses = bench.trainer, []
        initial = trainer.builder.initial(trainer.settings.seed)
        torch.manual_seed(0)
        model = MODELS.build(dict(
            type='mmrazor.FrozenTeacherDistill', architecture=copy.deepcopy(initial),
            teacher=copy.deepcopy(bench.runner.model.teacher),
            distiller=distiller_config(self.spec('digits'), bench.task.layers)))
        model = model.to(trainer.device)
        model.train()
        optimizer = copy.deepcopy(trainer.optim_wrapper)
        if precision != 'float32':
            optimizer.update(type='AmpOptimWrapper', dtype=precision)
        optim = build_optim_wrapper(model, usable(optimizer, distills=True))
        rows = next(trainer.batches(0))

        def step(number):
            inputs, samples = trainer.train_images.inputs(initial.to(trainer.device),
                                                          rows[number % len(rows)], True)
            with optim.optim_context(model):
                loss = total_loss(model.loss(inputs, samples))
            optim.update_params(loss)
            losses.append(loss.detach())

        return step, losses, optim

    def bank(self):
        """Bytes a second of what the teacher says, from the bank's files to the device."""
        import torch
        for name in self.names:
            trainer = self.bench(name).trainer
            images, pairs = trainer.train_images, [pair.name for pair in trainer.layers.pairs]
            rows = next(trainer.batches(0))
            made = [images.teacher(pair, rows[0]) for pair in pairs]
            size = sum(tensor.numel() * tensor.element_size() for tensor in made)
            pinned = torch.empty(size, dtype=torch.uint8)
            pinned = pinned.pin_memory() if self.args.device == 'cuda' else pinned

            def read(number, images=images, pairs=pairs, rows=rows):
                for pair in pairs:
                    images.teacher(pair, rows[number % len(rows)])

            def copied(number, pinned=pinned, device=trainer.device):
                pinned.to(device, non_blocking=True).clone()

            found = self.clock.in_turns(dict(read=read, copied=copied), self.args.steps)
            self.found.add(f"{name}: the teacher's features of a batch", size / 1e6, 'MB')
            for what, key in (('from the bank', 'read'), ('a pinned copy', 'copied')):
                self.found.add(f'{name}: {what} to the device', size / 1e6 / found[key], 'GB/s')

    def losses(self):
        from losses import Benchmark
        bench = Benchmark(self.args.device, True, self.args.budget, self.found)
        if not self.args.quick:
            bench.run()
        for only in QUICK_LOSSES if self.args.quick else ():
            bench.run(only, {'N4-C8-8x8': [(4, 8, 8, 8)]}, {'N8-K10': [(8, 10)]})


def table(rows):
    """All figures as a table of Markdown, for docs/benchmarks/costs.md."""
    lines = ['| figure | value | unit | goal |', '|---|---|---|---|']
    for row in rows:
        value = '-' if row['value'] is None else f'{row["value"]:.4g}'
        goal = '' if row['goal'] is None else (
            f'{row["goal"]}: {"met" if figures.reached(row) else "missed"}')
        lines.append(f'| {row["name"]} | {value} | {row["unit"]} | {goal} |')
    return '\n'.join(lines)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda')
    parser.add_argument('--work-dir', default='./work_dirs/gpu_check',
                        help='a new folder for searches and banks (default: %(default)s)')
    parser.add_argument('--only', choices=list(SEARCHES), help='of the two searches')
    parser.add_argument('--trials', type=int, default=8, help='of each search (default: 8)')
    parser.add_argument('--steps', type=int, default=50, help='timed ones (default: 50)')
    parser.add_argument('--budget', type=float, default=0.5, metavar='SECONDS',
                        help='for the turns of one loss at one size (default: 0.5)')
    return figures.parse(parser, dict(trials=1, steps=2, budget=0))


def machine(device):
    import torch
    name = torch.cuda.get_device_name() if device == 'cuda' else 'CPU'
    return f'{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, {time.strftime("%F")}'


def main():
    args = parse_args()
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # before torch looks for one
    import torch
    if args.device == 'cuda' and not torch.cuda.is_available():
        from autokd_mm.errors import ConfigError
        raise ConfigError('--device cuda: torch sees no GPU here (autokd doctor says more); '
                          '--device cpu --quick goes through all parts on the CPU')
    found = figures.Figures()
    check = Check(args, found)
    print(machine(args.device), flush=True)
    check.run()
    print(f'\n{machine(args.device)}\n\n{table(found.rows)}\n')
    found.finish(args)
    if check.failed:
        sys.exit('\n'.join(f'FAILED {line}' for line in check.failed))


if __name__ == '__main__':
    _cli.run(main)

#!/usr/bin/env python3
"""What the predictions of dense heads add to a candidate's step, in time and memory.

    python tools/benchmarks/predictions.py configs/search/digit_scenes_retinanet.py --work-dir W

Steps of a distiller with features alone, and of the same one with predictions, are made in turns on
the same batches of the bank; on a CPU its own time is taken, which others disturb less. Memory is
what is kept for the backward pass, each storage once.
"""
import os
import statistics
import sys
import time
import weakref
from dataclasses import replace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import _cli  # noqa: E402
from parts import figures  # noqa: E402

CLASSES = dict(prediction='weighted_bce', prediction_weight=1)
BOXES = dict(box='giou', box_by='difference', box_weight=4)
CROSSKD = dict(CLASSES, box='giou', box_by='confidence', box_weight=1)
BRANCHES = {
    'features alone': {}, 'features alone again': {},
    '+ classes bce': dict(prediction='bce', prediction_weight=1),
    '+ classes weighted_bce': CLASSES,
    '+ boxes l1 by confidence': dict(BOXES, box='l1', box_by='confidence'),
    '+ boxes giou by difference': BOXES,
    '+ boxes giou by foreground': dict(BOXES, box_by='foreground'),
    '+ classes and boxes (BCKD)': dict(CLASSES, **BOXES),
    '+ the losses of CrossKD': CROSSKD,
    "+ the same through the teacher's head (CrossKD)": dict(CROSSKD, prediction_head='cross'),
}


def parse_args():
    parser = _cli.parser(__doc__.split('\n\n')[0])
    parser.add_argument('--steps', type=int, default=40, help='timed steps of each kind')
    parser.add_argument('--feature', default='FGD-focal', help='name of a hand-crafted method')
    return figures.parse(parser, dict(steps=2))


def made(args):
    """The trainer of a search's candidates, and its task."""
    from mmengine.runner import Runner

    from autokd_mm.engine.preparation import prepare_trainer
    from autokd_mm.teacher import checkpoint as teachers
    config = _cli.load(args)
    config.resume = False
    config.default_hooks.checkpoint = None
    runner = Runner.from_cfg(config)
    loop = runner.build_train_loop(config.train_cfg)
    task, settings = loop.look(), loop.settings
    teachers.ensure_teacher(runner.model, config, settings.full_training, config.work_dir,
                            settings.train_teacher)
    made_from = teachers.made_from(runner.model.teacher, config)
    return task, prepare_trainer(task, config.work_dir, made_from,
                                 task.curve(settings.full_training), runner.logger.warning,
                                 loop.display.show)


class Box:
    """Of a tensor that is kept for the backward pass."""


class Steps:
    """Steps of one distiller; ``kept`` are the bytes that the last one kept for its backward."""

    def __init__(self, trainer, spec):
        from mmengine.optim import build_optim_wrapper
        self.trainer = trainer
        initial = trainer.builder.initial(trainer.settings.seed)
        self.candidate = trainer.builder.build(spec, initial).train()
        self.optim = build_optim_wrapper(self.candidate, dict(trainer.optim_wrapper))
        self.kept = 0

    def make(self, rows, count=False):
        """Seconds of a step."""
        import torch
        start, kept = self.now(), weakref.WeakSet()

        def pack(tensor):
            box = Box()
            box.tensor = tensor
            kept.add(box)
            return box

        inputs = self.trainer.training_batch(self.candidate, rows)
        if count:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
                loss = sum(self.candidate.losses(*inputs))
            storages = [box.tensor.untyped_storage() for box in kept]
            self.kept = sum({one.data_ptr(): one.nbytes() for one in storages}.values())
        else:
            loss = sum(self.candidate.losses(*inputs))
        self.optim.update_params(loss)
        return self.now() - start

    def now(self):
        if self.trainer.device.type == 'cpu':
            return time.process_time()
        import torch
        torch.cuda.synchronize()
        return time.perf_counter()


def main():
    args = parse_args()
    from autokd_mm.space.handcrafted import handcrafted
    task, trainer = made(args)
    spec = handcrafted(args.feature, task.layers.same_shape)
    cross = task.layers.predictions.cross  # of heads that fit
    steps = {name: Steps(trainer, replace(spec, **values)) for name, values in BRANCHES.items()
             if cross or 'prediction_head' not in values}
    times = {name: [] for name in steps}
    batches = next(iter(trainer.batches(0)))
    for number in range(args.steps + 1):
        rows = batches[number % len(batches)]
        for name, one in steps.items():
            seconds = one.make(rows, count=number == 0)
            if number:
                times[name].append(seconds)
    tell(steps, times).finish(args)


def tell(steps, times):
    found, first = figures.Figures(), next(iter(steps))
    for name, one in steps.items():
        found.add(f'{name}: a step', 1000 * statistics.median(times[name]), 'ms')
        found.add(f'{name}: kept for backward', one.kept / 2**20, 'MiB')
        if name != first:
            ratio = statistics.median(a / b for a, b in zip(times[name], times[first]))
            found.add(f'{name}: a step / {first}', ratio, 'ratio', '<= 1.15')
            found.add(f'{name}: kept / {first}', one.kept / steps[first].kept, 'ratio', '<= 1.15')
    return found


if __name__ == '__main__':
    _cli.run(main)

"""What two processes do together, for test_ranks.py: ``two_ranks.py CONFIG BANKS RESULTS`` under
RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT writes RESULTS/<rank>.json.

Without them :func:`results` is what one process makes of it.
"""
import copy
import json
import os
import sys
import time
from collections import Counter
from dataclasses import replace

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from pretend_device import pretend_cuda
from torch import nn

from autokd_mm.engine.followers import LeadingTrainer, follow
from autokd_mm.engine.one_trial import look_on
from autokd_mm.engine.pruning import CandidatePruned
from autokd_mm.errors import CandidateFailed
from autokd_mm.layers.find import find_layers
from autokd_mm.proxy.candidate import Candidate
from autokd_mm.proxy.choice import choose_images
from autokd_mm.proxy.data import held_out_dataset_config
from autokd_mm.proxy.ranks import CandidateOver, RankLost, Ranks
from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.proxy.trainer import ProxyTrainer
from autokd_mm.registry import MODELS
from autokd_mm.space import DistillerSpec
from autokd_mm.space.handcrafted import handcrafted
from autokd_mm.teacher.checkpoint import made_from
from autokd_mm.teacher.proxy_banks import open_banks

NAMES = ('held_out_loss', 'calibrated_loss', 'gap', 'metric', 'linear_gap')
# Losses that are means over samples, and a connector with weights.
PLAIN = DistillerSpec.from_dict(dict(transform='none', connector='conv1x1', intra='none',
                                     inter='none', distance='l2', feature_weight=1, logits='kl',
                                     logits_temperature=4, logits_weight=1))
MGD = handcrafted('MGD', same_shape=False)  # random masks


def trainers(config_path, folder):
    """Gives trainers: ``make(norm='GN', **settings)``, with GroupNorm in place of BatchNorm; on a
    device if asked."""
    config = Config.fromfile(config_path)
    torch.manual_seed(1)
    model = MODELS.build(copy.deepcopy(config.model))
    model.init_weights()
    train = config.train_dataloader.dataset
    datasets = dict(train=DATASETS.build(train), held_out=DATASETS.build(
        held_out_dataset_config(train, config.val_dataloader.dataset)))
    settings = replace(ProxySettings.from_config(config.train_cfg.proxy, 64), epochs=2)
    layers = find_layers(model, model.architecture, config.train_cfg.layers,
                         torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    banks = open_banks(folder, settings, datasets, choose_images(settings, datasets['train']),
                       model, made_from(model.teacher, config), layers, print,
                       lambda *args: None)

    def make(norm='BN', ranks=None, device='cpu', **wrapper):
        student = copy.deepcopy(model.architecture)
        if norm == 'GN':
            for module in list(student.modules()):
                for name, child in module.named_children():
                    if isinstance(child, nn.BatchNorm2d):
                        setattr(module, name, nn.GroupNorm(1, child.num_features))
        return ProxyTrainer(lambda seed: student, layers, banks['train'], banks['held_out'],
                            settings, dict(config.optim_wrapper, **wrapper), [1.0],
                            torch.device(device), ranks)

    return make


def numbers(outcome):
    return [getattr(outcome, name) for name in NAMES]


def weights(trainer, spec):
    """The student after a training, and its running statistics as they are measured."""
    found = {}
    measure = trainer.held_out.measure
    trainer.held_out.measure = lambda student: found.update(
        {name: value.double().sum().item() for name, value in student.state_dict().items()}
    ) or measure(student)
    trainer.run(spec, watch=look_on)
    trainer.held_out.measure = measure
    return found


def steps(trainer, spec):
    return [[step.task_loss, step.distill_loss, step.task_gradient_norm,
             step.distill_gradient_norm, step.depends_on_student]
            for step in trainer.first_step(spec)]


def results(make, ranks=None):
    """What must be the same however many ranks there are."""
    trainer = make('GN', ranks)
    clipping = make('GN', ranks, clip_grad=dict(max_norm=0.5))
    accumulating = make('GN', ranks, accumulative_counts=2)
    return dict(plain=numbers(trainer.run(PLAIN)), none=numbers(trainer.run(None)),
                clipped=numbers(clipping.run(PLAIN)),
                accumulated=numbers(accumulating.run(PLAIN)),
                longer=numbers(trainer.run(PLAIN, seed=3, length=2)),
                weights=weights(trainer, PLAIN), steps=steps(trainer, PLAIN))


def reason(call, *kinds):
    """What ends a run: kind and message."""
    try:
        call()
    except (CandidateFailed, CandidateOver, CandidatePruned, RankLost, *kinds) as error:
        return [type(error).__name__, str(error)]
    return None


def failing(trainer, ranks, where, error, at=2):
    """A run whose ``at``-th step raises ``error`` on rank ``where`` (a number: it is the loss)."""
    losses, seen = Candidate.losses, []

    def fail(self, *args):
        seen.append(self)
        own, distilled = losses(self, *args)
        if ranks.rank == where and len(seen) == at:
            if isinstance(error, float):
                return own * error, distilled
            raise error
        return own, distilled

    Candidate.losses = fail
    try:
        return reason(lambda: trainer.run(PLAIN), TypeError)
    finally:
        Candidate.losses = losses


def pruned(trainer, ranks):

    def watch(epoch, outcome):
        if ranks.leads:
            raise CandidatePruned('behind the others', outcome, 0.0)

    return reason(lambda: trainer.run(PLAIN, watch=watch))


def commands(trainer, ranks):
    """Rank 0 leads, the other one follows until the end; the second candidate fails there."""
    calls = []

    class Noted:
        settings, clock = trainer.settings, trainer.clock

        def run(self, spec, watch, seed, length, looks, keep=None):
            calls.append(['run', spec and spec.to_dict(), watch is not None, seed, length, looks])
            return trainer.run(spec, watch, seed, length, looks, keep)

        def first_step(self, spec, batches):
            calls.append(['first_step', spec.to_dict(), batches])
            return trainer.first_step(spec, batches)

    if not ranks.leads:
        failing_at = iter([None, RuntimeError('only here'), None])
        run = Noted.run

        def sometimes(self, *args):
            losses, error = Candidate.losses, next(failing_at)

            def fail(candidate, *inputs):
                if error:
                    raise error
                return losses(candidate, *inputs)

            Candidate.losses = fail
            try:
                return run(self, *args)
            finally:
                Candidate.losses = losses

        Noted.run = sometimes
        follow(Noted(), ranks)
        return calls
    leading = LeadingTrainer(Noted(), ranks)
    leading.first_step(PLAIN)
    curve = leading.run(PLAIN, watch=look_on, looks=[1]).curve
    failed = reason(lambda: leading.run(None))
    after = numbers(leading.run(PLAIN, seed=5, length=2))
    leading.end()
    return dict(calls=calls, curve=len(curve), failed=failed, after=after)


def exchanged(ranks):
    """Means of tensors that not all ranks have, shares of a batch, rank 0's values."""
    like = [torch.zeros(2), torch.zeros(2, 3), torch.zeros(1)]
    tensors = [torch.full((2, ), float(ranks.rank + 1)), None, None]
    if ranks.rank == 1:
        tensors[1] = torch.ones(2, 3)
    found = [None if mean is None else mean.tolist() for mean in ranks.mean(tensors, like)]
    rows = ranks.share(torch.arange(6).numpy()).tolist()
    return dict(means=found, rows=rows, same=ranks.same(['of', ranks.rank]))


def on_gpu(make, ranks):
    """The same on a pretended GPU, exchanged by gloo; and what of ours a step more waits for."""
    with pretend_cuda() as gpu:
        found = dict(plain=numbers(make('GN', ranks, 'cuda').run(PLAIN)), waits={})
        trainer, counts = make('BN', ranks, 'cuda'), []
        for length in (1, 2):
            with gpu.counted() as waits:
                trainer.train(MGD, length=length)
            counts.append(Counter(f'{wait.kind}, {wait.line}' for wait in waits if wait.ours))
    found['waits'] = dict(counts[1] - counts[0])
    found['once'] = sum(counts[0].values())
    return found


def main(config, folder, out):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo')
    ranks = Ranks()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        make = trainers(config, folder)
        trainer = make(ranks=ranks)
        found = dict(
            results=results(make, ranks), exchanged=exchanged(ranks),
            twice=[numbers(trainer.run(spec)) for spec in (MGD, MGD)],
            state=weights(trainer, MGD),
            failed=failing(trainer, ranks, 1, RuntimeError('CUDA out of memory\nmore')),
            failed_at_once=failing(trainer, ranks, 0, RuntimeError('shapes'), at=1),
            failed_at_last=failing(trainer, ranks, 1, RuntimeError('late'), at=4),
            nan=failing(trainer, ranks, 1, float('nan')), pruned=pruned(trainer, ranks),
            bug=failing(trainer, ranks, 1, TypeError('a bug')),
            bug_of_rank_0=failing(trainer, ranks, 0, TypeError('a bug')),
            after=numbers(trainer.run(MGD)), commands=commands(trainer, ranks),
            on_gpu=on_gpu(make, ranks))
        if ranks.rank == 1:
            write(out, 1, found)
            os._exit(1)  # as if killed
        start = time.monotonic()
        found.update(lost=reason(lambda: trainer.run(PLAIN)), seconds=time.monotonic() - start)
        write(out, 0, found)
        os._exit(0)


def write(out, rank, found):
    with open(os.path.join(out, f'{rank}.json'), 'w') as file:
        json.dump(found, file)


if __name__ == '__main__':
    main(*sys.argv[1:])

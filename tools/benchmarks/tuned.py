#!/usr/bin/env python3
"""Tune a hand-crafted method instead of searching: Optuna's TPE over method, weight and temperature
on the proxy of a search config, for as many trials or as long as a search takes.

    python tools/benchmarks/tuned.py configs/search/resnet56_resnet8_cifar10.py --work-dir W \\
        --trials 60 --again 5 --cfg-options data_root=D teacher_ckpt=F

The value of a trial is the reward of the search; no trial is pruned or rejected. The best few run
again as in a search's final round (its length and seeds), and the best of those is printed as
JSON, as tools/benchmarks/make_table.py --only takes it. Kill it at any moment and start it again.
"""
import json
import os
import sys
import time
from dataclasses import replace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import _cli  # noqa: E402

# A method's weight is that of the space times this, its temperature one of these.
FACTORS = (0.1, 30.0)
TEMPERATURES = (1, 2, 4, 8, 16)


def parse_args():
    parser = _cli.parser(__doc__.split('\n\n')[0])
    parser.add_argument('--trials', type=int, default=60)
    parser.add_argument('--max-hours', type=float, default=1e9, help='no trial begins behind it')
    parser.add_argument('--again', type=int, default=5, metavar='N',
                        help='the best N different methods and weights run again, longer')
    parser.add_argument('--seed', type=int, default=0, help='of the sampler')
    return parser.parse_args()


def suggested(trial, same_shape):
    """A hand-crafted method with another weight and, where it has one, another temperature."""
    from autokd_mm.space.handcrafted import HANDCRAFTED, handcrafted
    spec = handcrafted(trial.suggest_categorical('method', sorted(HANDCRAFTED)), same_shape)
    factor = trial.suggest_float('factor', *FACTORS, log=True)
    changed = {}
    for weight, temperature in (('feature_weight', 'temperature'),
                                ('logits_weight', 'logits_temperature')):
        if getattr(spec, weight) is not None:
            changed[weight] = round(getattr(spec, weight) * factor, 4)
        if getattr(spec, temperature) is not None:
            changed[temperature] = trial.suggest_categorical('temperature', TEMPERATURES)
    return replace(spec, **changed)


class Tuning:
    """The trials and the longer runs of the best, in one study in the work dir."""

    def __init__(self, args):
        import optuna
        from parts.candidates import Candidates

        from autokd_mm.study.journal import journal_path, open_storage
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.bench = Candidates(args, 1)
        settings = self.bench.loop.settings
        self.plain = {(None, 1): self.bench.trainer.run(None)}
        metric = self.plain[None, 1].metric
        self.reward, self.last_reward = settings.rewards(metric == metric,
                                                         baseline=self.plain[None, 1])
        self.final = settings.final_round
        self.study = optuna.create_study(
            storage=open_storage(journal_path(self.bench.config.work_dir)), study_name='tuned',
            direction='maximize', load_if_exists=True)
        # A second start does not draw what the first has drawn.
        self.study.sampler = optuna.samplers.TPESampler(seed=args.seed + len(self.study.trials),
                                                        multivariate=True)
        self.same = self.bench.task.layers.same_shape

    def gain(self, spec, reward, seed=None, length=1):
        """Reward of one run over the undistilled student's of the same seed and length."""
        from autokd_mm.errors import CandidateFailed
        trainer = self.bench.trainer
        if (seed, length) not in self.plain:
            self.plain[seed, length] = trainer.run(None, None, seed, length)
        try:
            return reward(trainer.run(spec, None, seed, length), self.plain[seed, length])
        except (CandidateFailed, ValueError):  # a loss or a term that is not finite
            return -1.0  # as far below no distillation as a reward goes

    def trials(self, count, hours):
        started = time.time()
        while time.time() - started < hours * 3600:
            done = len(self.finished())
            if done >= count:
                return
            trial = self.study.ask()
            spec = suggested(trial, self.same)
            value = self.gain(spec, self.reward)
            trial.set_user_attr('spec', spec.to_dict())
            self.study.tell(trial, value)
            print(f'{done + 1} of {count}: {value:+.4f} {spec.in_words()}', flush=True)

    def finished(self):
        return [trial for trial in self.study.get_trials(deepcopy=False)
                if trial.state.is_finished() and 'spec' in trial.user_attrs]

    def again(self, count):
        """Mean reward of the best ``count`` with the length and the seeds of the final round."""
        from autokd_mm.space.spec import DistillerSpec
        ranked = sorted((trial for trial in self.finished() if trial.value is not None),
                        key=lambda trial: -trial.value)
        first = self.bench.trainer.settings.seed + 1
        values = {}
        for trial in ranked[:count]:
            key, spec = f'again{trial.number}', DistillerSpec.from_dict(trial.user_attrs['spec'])
            if key not in self.study.user_attrs:
                gains = [self.gain(spec, self.last_reward, first + seed, self.final.length)
                         for seed in range(self.final.seeds)]
                self.study.set_user_attr(key, sum(gains) / len(gains))
            values[trial.number] = self.study.user_attrs[key]
            print(f'again: {values[trial.number]:+.4f} {spec.in_words()}', flush=True)
        best = max(values, key=lambda number: values[number])
        return DistillerSpec.from_dict(self.study.trials[best].user_attrs['spec'])


def main():
    args = parse_args()
    tuning = Tuning(args)
    tuning.trials(args.trials, args.max_hours)
    best = tuning.again(args.again)
    print(best.in_words())
    print(json.dumps(best.to_dict()))


if __name__ == '__main__':
    _cli.run(main)

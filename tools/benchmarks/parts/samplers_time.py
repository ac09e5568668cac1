"""How long a sampler takes for one trial's questions, by the number of finished trials; and the
memory of our tree."""
import gc
import json
import statistics
import time
import tracemalloc
import warnings

import numpy as np
import optuna

from autokd_mm.search import MCTSSampler, build_sampler
from autokd_mm.space import DistillerSpace, level_of

SIZES = (100, 1000, 10000)
_PATIENCE = 30.0  # CPU seconds for one number
_REPEATS = 40


class Effects:
    """Sums of random effects of options and noise, over the whole space of distillers."""

    def __init__(self):
        self.space = DistillerSpace()
        self._effects, self._rng = {}, np.random.RandomState(0)

    def __call__(self, trial):
        self.space.suggest(trial)
        return self.value(trial)

    def value(self, trial):
        options = [(level_of(name), choice) for name, choice in trial.params.items()]
        for option in options:
            if option not in self._effects:
                self._effects[option] = self._rng.standard_normal()
        return sum(self._effects[option] for option in options) + self._rng.standard_normal()


def measure_all(args, path, found):
    """One line for each sampler and number of trials; CPU milliseconds of ask, questions and tell.

    ``own`` is less what RandomSampler takes on the same study, which is Optuna's own.
    """
    warnings.simplefilter('ignore')
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    goal = Effects()
    study = optuna.create_study(direction='maximize', sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(goal, n_trials=max(args.sizes))
    trials = study.get_trials(deepcopy=False)
    names = ['Random'] + [name for name in args.samplers or args.settings if name != 'Random']
    base = {}
    with open(path, 'w') as file:
        megabytes = memory(trials)
        file.write(json.dumps(dict(trials=len(trials), tree_mb=round(megabytes, 1))) + '\n')
        found.add(f'tree of {len(trials):,} finished trials', megabytes, 'MB', '<= 50')
        for name in names:
            for size in args.sizes:
                spent = one(goal, build_sampler(args.settings[name], 0, shared_name=level_of),
                            trials[:size])
                if spent is None:
                    break
                base.setdefault(size, spent)
                own = spent - base[size]
                file.write(json.dumps(dict(sampler=name, trials=size, ms=round(spent, 2),
                                           own=round(own, 2))) + '\n')
                found.add(f'{name}, {size:,} finished trials: CPU time of a trial', spent, 'ms')
                if name != 'Random':
                    found.add(f'{name}, {size:,} finished trials: the same, less that of Random',
                              own, 'ms', '<= 2' if (name, size) == ('MCTS', 10000) else None)


def one(goal, sampler, trials):
    """Median CPU milliseconds; None when patience is over."""
    study = optuna.create_study(direction='maximize', sampler=sampler)
    study.add_trials(trials)
    spent, start = [], time.process_time()
    for _ in range(_REPEATS + 1):
        begin = time.process_time()
        trial = study.ask()
        goal.space.suggest(trial)
        asked = time.process_time()
        value = goal.value(trial)
        told = time.process_time()
        study.tell(trial, value)
        spent.append(time.process_time() - told + asked - begin)
        if len(spent) > 1 and time.process_time() - start > _PATIENCE:
            break
        if len(spent) == 1 and spent[0] > _PATIENCE:
            return None
    return 1e3 * statistics.median(spent[1:])  # the first reads all trials


def memory(trials):
    """Megabytes of what MCTSSampler keeps of a study."""
    study = optuna.create_study(direction='maximize',
                                sampler=MCTSSampler(seed=0, shared_name=level_of))
    study.add_trials(trials)
    tracemalloc.start()
    try:
        study.sampler.view(study).sync(study.get_trials(deepcopy=False))
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / 1e6
    finally:
        tracemalloc.stop()

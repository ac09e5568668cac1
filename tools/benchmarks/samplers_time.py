"""How long a sampler takes for one trial's questions, by the number of finished trials."""
import json
import statistics
import time
import warnings

import numpy as np
import optuna

from autokd_mm.search import build_sampler
from landscape import Landscape

SIZES = (100, 1000, 10000)
_PATIENCE = 120.0  # CPU seconds for one number
_REPEATS = 15


def measure_all(args, path):
    """One line for each sampler and number of trials; CPU milliseconds of ask, questions and tell.

    ``own`` is less what RandomSampler takes on the same study, which is Optuna's own.
    """
    warnings.simplefilter('ignore')
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    goal = Landscape(0)
    study = optuna.create_study(direction='maximize', sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(goal, n_trials=max(SIZES))
    trials = study.get_trials(deepcopy=False)
    names = ['Random'] + [name for name in args.samplers or args.settings if name != 'Random']
    base = {}
    with open(path, 'w') as file:
        for name in names:
            for size in SIZES:
                spent = one(goal, build_sampler(args.settings[name], 0), trials[:size])
                if spent is None:
                    break
                base.setdefault(size, spent)
                line = dict(sampler=name, trials=size, ms=round(spent, 2),
                            own=round(spent - base[size], 2))
                file.write(json.dumps(line) + '\n')
                print(json.dumps(line), flush=True)


def one(goal, sampler, trials):
    """Median CPU milliseconds; None when patience is over."""
    study = optuna.create_study(direction='maximize', sampler=sampler)
    study.add_trials(trials)
    spent, start = [], time.process_time()
    for _ in range(_REPEATS + 1):
        begin = time.process_time()
        trial = study.ask()
        place = goal.place(trial)
        asked = time.process_time()
        value = goal.values[place]
        told = time.process_time()
        study.tell(trial, value + 0.3 * np.random.RandomState([trial.number]).standard_normal())
        spent.append(time.process_time() - told + asked - begin)
        if len(spent) > 1 and time.process_time() - start > _PATIENCE:
            break
        if len(spent) == 1 and spent[0] > _PATIENCE:
            return None
    return 1e3 * statistics.median(spent[1:])  # the first reads all trials

"""What to run next, with what it takes, changes and tells."""
from __future__ import annotations

import os
from shlex import quote
from typing import Dict, List, NamedTuple, Sequence

from autokd_mm.page.facts import Facts
from autokd_mm.page.numbers import duration
from autokd_mm.space.handcrafted import HANDCRAFTED, WITH_BOXES
from autokd_mm.space.spec import DistillerSpec
from autokd_mm.study.ladder import cheapest
from autokd_mm.study.status import BEST, FINISHED

# Methods that compete where none did, by what the reward counts.
_METHODS: Dict[str, Sequence[str]] = {
    'accuracy': ('KD', 'AT'), 'mean IoU': ('CWD', 'AT'), 'box mAP': ('PKD', 'FGD-focal'),
    'mask mAP': ('PKD', 'FGD-focal')}


class Command(NamedTuple):
    """A command: what it is for, the words of it, and what to expect of it."""
    aim: str
    words: List[str]
    about: str


def next_commands(facts: Facts, metric: str, unsure: bool) -> List[Command]:
    """In the order in which they are worth running.

    Args:
        metric: of the reward, as people call it.
        unsure: whether the winner is better than no distillation.
    """
    if facts.status.phase != FINISHED:
        aim = 'Wait, or go on with the search if nobody is at it'
        words = _resume(facts)
        return [Command(f'{aim}:', words, '')] if words else \
            [Command(f'{aim}: the command that began it, and --resume.', [], '')]
    train = ['autokd', 'train', quote(shown(os.path.join(facts.work_dir, BEST)))]
    about = _train_about(facts)
    if unsure:
        train.append('--twin')
        about += ' --twin then trains the same student without a teacher, as long again; the ' \
                 'last line tells the gain.'
    else:
        about += ' With --twin behind it the same student is trained without a teacher, too, and ' \
                 'the last line tells the gain.'
    compared = _compare(facts, metric, unsure)
    return [*compared, Command(f'{"Then train" if compared else "Train"} with it:', train, about)]


def repeat(facts: Facts) -> List[str]:
    """The words of the command that repeats the search beside it; none where nobody knows."""
    folder = os.path.normpath(shown(facts.work_dir))
    return [*_search(facts), '--work-dir', quote(folder + '_again')] if _search(facts) else []


def shown(path: str) -> str:
    """A path as one would type it here: relative, if it is below the present folder."""
    relative = os.path.relpath(path)
    return os.path.normpath(path) if relative.split(os.sep)[0] == os.pardir else relative


def _search(facts: Facts) -> List[str]:
    config = facts.about.get('config')
    return ['autokd', 'search', quote(shown(os.path.join(facts.work_dir, config)))] \
        if config else []


def _resume(facts: Facts) -> List[str]:
    words = _search(facts)
    return [*words, '--work-dir', quote(shown(facts.work_dir)), '--resume'] if words else []


def _compare(facts: Facts, metric: str, unsure: bool) -> List[Command]:
    """A longer final round: with hand-crafted methods, if none took part, and with more seeds, if
    it is not clear what its winner is worth."""
    words, final = _resume(facts), facts.about.get('final')
    if not (words and final and facts.entrants):
        return []
    top = facts.entrants[0]
    seeds, whole = len(top.rewards), facts.seconds_of_a_trial
    methods = _methods(facts, metric) if not final.get('handcrafted') else []
    aims, options, seconds = [], [], 0.0
    if methods:
        aims.append('let hand-crafted methods compete (none took part)')
        words += ['--trials', str(facts.status.counted + len(methods))]
        options.append(f'train_cfg.warm_start=[{",".join(methods)}]')
        seconds += whole * (len(methods) + top.length * seeds * (1 + unsure))
    if unsure:
        aims.append('give the final round more seeds, to be surer')
        options.append(f'train_cfg.final_round.seeds={2 * seeds}')
        seconds += facts.final_seconds
    if not options:
        return []
    options += _budget(facts, len(facts.entrants) + len(methods), seeds * (1 + unsure))
    aim = ', and '.join(aims)
    return [Command(
        f'{aim[0].upper()}{aim[1:]}.', [*words, '--cfg-options', *map(quote, options)],
        f'About {duration(seconds)}; what is finished does not run again. This page, '
        f'leaderboard.csv and {BEST} are written anew, for another winner if there is one.')]


def _budget(facts: Facts, entrants: int, seeds: int) -> List[str]:
    """The option for one that lets so many begin where they have begun; none where it is large
    enough. With less some would be left out, or have to run shorter first."""
    budget = (facts.about.get('final') or {}).get('budget')
    if budget is None:
        return []
    lengths = [entrant.length for entrant in facts.entrants]
    needed = cheapest(entrants, max(lengths), seeds, min(lengths))
    return [f'train_cfg.final_round.budget={needed}'] if needed > budget else []


def _methods(facts: Facts, metric: str) -> List[str]:
    """Those that the space of the search has."""
    space, known = facts.search.get('space') or {}, {**HANDCRAFTED, **WITH_BOXES}

    def offered(spec: DistillerSpec) -> bool:
        return all(value in space.get(level, [value]) for level, value in spec.to_dict().items()
                   if level != 'connector')  # which is the one that fits

    return [name for name in _METHODS.get(metric, ('AT', )) if offered(known[name])]


def _train_about(facts: Facts) -> str:
    full, samples = facts.about.get('full') or {}, facts.about.get('samples')
    folder = os.path.join('work_dirs', os.path.splitext(BEST)[0])
    told = f'Checkpoints and logs go to {folder}.'
    if not (full.get('samples') and samples and facts.entrants):
        return told
    top = facts.entrants[0]
    seconds = top.seconds * full['samples'] / (samples * top.length)
    return f'About {duration(seconds)} for {full["words"]} at the pace of the final round, which ' \
           f'had the answers of the teacher on disk; with the teacher running, longer. {told}'

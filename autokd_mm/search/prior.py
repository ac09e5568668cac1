"""What is believed of options before the first trial, and how far the trials bear it out.

A prior says of an option what effect it is expected to have on the scale of the tree, where 0 is
poor and 1 the best, and how many trials that is worth. It may come from earlier searches, or from
anybody's head. It may be wrong; so the sampler weighs several hypotheses: that it is of no use,
and that it is right up to a factor (the scale follows the best value found, and effects may be
stronger in one task than in another). Each has the probability that the trials so far give it
(their marginal likelihood under the linear model, Bernardo and Smith, "Bayesian Theory", 1994,
section 6.1), and each trial is planned under one that is drawn by these.
"""
from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

Key = Tuple[str, str]  # name of a question, repr of a choice

LARGEST = 1e6  # of means, on a scale where the best is 1
# Factor of the prior's effects, and probability before the first trial; 0: the prior is of no use.
HYPOTHESES = ((0.0, 0.4), (1.0, 0.3), (2.0, 0.3))


class Belief(NamedTuple):
    """Of one option.

    Attributes:
        mean: its effect on the scale of the tree.
        worth: so many trials that took it are expected to be needed to say as much.
    """
    mean: float
    worth: float


class Prior:
    """Beliefs about options; what is not in it starts without.

    Args:
        options: by name of the question (as ``shared_name`` says) and ``repr`` of the choice.

    Raises:
        ValueError: a key is no pair of strings, or a belief no mean and worth; a mean beyond
            :data:`LARGEST`, or a worth that is not > 0.
    """

    def __init__(self, options: Mapping[Key, Belief]) -> None:
        self.options: Dict[Key, Belief] = {}
        for key, belief in options.items():
            try:
                name, choice = map(str, key)
                mean, worth = map(float, belief)
            except (OverflowError, TypeError, ValueError):
                raise ValueError(f'prior: {key!r}: {belief!r} must be question and choice with '
                                 'mean and worth') from None
            if not (abs(mean) <= LARGEST and 0 < worth < math.inf):
                raise ValueError(f'prior: {name}={choice}: mean {mean!r} and worth {worth!r} must '
                                 f'be finite, the mean at most {LARGEST:g}, the worth > 0')
            self.options[name, choice] = Belief(mean, worth)

    @classmethod
    def from_json(cls, values: Any, what: str = 'prior') -> 'Prior':
        """Inverse of :meth:`to_json`.

        Args:
            what: this is, for errors.

        Raises:
            ValueError: it is no such thing.
        """
        options: Dict[Key, Belief] = {}
        try:
            for name, choices in values.items():
                for choice, (mean, worth) in choices.items():
                    options[str(name), str(choice)] = Belief(float(mean), float(worth))
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f'{what} must be a dict like {{"logits": {{"\'kl\'": [0.2, 4]}}}}: '
                             'mean and worth by question and choice') from None
        return cls(options)

    def to_json(self) -> Dict[str, Dict[str, List[float]]]:
        """Mean and worth by question and choice, short enough to be kept with a study."""
        found: Dict[str, Dict[str, List[float]]] = {}
        for (name, choice), belief in sorted(self.options.items()):
            found.setdefault(name, {})[choice] = [round(belief.mean, 4),
                                                  float(f'{belief.worth:.4g}')]
        return found

    def of(self, key: Tuple[str, ...]) -> Optional[Belief]:
        """What is believed of an option; None: nothing. Of one in a context nothing is."""
        return self.options.get((key[0], key[1])) if len(key) == 2 else None

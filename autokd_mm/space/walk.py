"""Stand-ins for an Optuna trial: one that visits every leaf, one that follows a given point."""
from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Sequence, TypeVar

from autokd_mm.errors import ConfigError, nearest

T = TypeVar('T')


class _PathTrial:
    """Answers with the choices of a path, and with first choices behind its end."""

    def __init__(self, path: List[int]) -> None:
        self.path = list(path)
        self.widths: List[int] = []

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        depth = len(self.widths)
        if depth == len(self.path):
            self.path.append(0)
        self.widths.append(len(choices))
        return choices[self.path[depth]]


def walk(suggest: Callable[[Any], T]) -> Iterator[T]:
    """Yield ``suggest``'s result for every leaf of the tree of its choices, depth first."""
    path: List[int] = []
    while True:
        trial = _PathTrial(path)
        yield suggest(trial)
        path = trial.path
        # The next leaf: step the deepest choice that has a sibling left, forget what is below it.
        while path and path[-1] + 1 == trial.widths[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def level_of(name: str) -> str:
    """The level that a question asks for: the same options may be offered under several names,
    ``distance`` and ``distance(l2|kl)``.

    Args:
        name: of the question, that of a parameter of a trial.
    """
    return name.split('(', 1)[0]


class NotOffered(ConfigError):
    """A point leaves the space at ``level``, where its ``value`` is none of the choices."""

    def __init__(self, level: str, value: Any, choices: Sequence[Any]) -> None:
        if value is None:
            told = ' is missing; valid: ' + ', '.join(map(str, choices))
        elif all(isinstance(choice, (int, float)) for choice in [value, *choices]):
            near = min(choices, key=lambda choice: abs(choice - value))
            told = (f'={value} is not offered here, did you mean {near}? Valid: '
                    + ', '.join(map(str, choices)))
        else:
            told = '=' + nearest(value, choices).replace(' is unknown', ' is not offered here', 1)
        super().__init__(f'distiller option {level}{told}')
        self.level, self.value = level, value


class GuidedTrial:
    """Answers every question with the value of its level, and keeps the questions asked."""

    def __init__(self, values: Dict[str, Any]) -> None:
        self.values = values
        self.params: Dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        level = level_of(name)
        value = self.values.get(level)
        if value not in choices:
            raise NotOffered(level, value, choices)
        self.params[name] = value
        return value

"""One way to say that a name in a config is wrong."""
from difflib import get_close_matches
from typing import Iterable


def nearest(word: object, valid: Iterable[object], shown: int = 12) -> str:
    """``'foo' is unknown, did you mean 'food'? Valid: ...`` for an error message.

    Args:
        word: what was found in the config.
        valid: what may stand there.
        shown: how many valid values are listed at the most.
    """
    names = [str(value) for value in valid]
    close = get_close_matches(str(word), names, n=1, cutoff=0.4)
    hint = f', did you mean {close[0]!r}?' if close else '.'
    more = f' and {len(names) - shown} more' if len(names) > shown else ''
    return f'{str(word)!r} is unknown{hint} Valid: {", ".join(names[:shown])}{more}'


class ConfigError(ValueError):
    """A mistake of the user's, told in one line that names the config key.

    The tools print it and stop; every other exception is a fault of the program and keeps its
    traceback.
    """

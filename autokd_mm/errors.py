"""One family of errors and warnings, and one way to say that a name in a config is wrong.

::

    AutoKDError                 everything this package raises on purpose
      UserError                 a mistake of the user's, told in one line; the tools exit with 2
        ConfigError             a config or an argument: names its key and the nearest valid value
        DataError               images, annotations, a data_root
        CheckpointError         a file of weights
        StudyError              the study of another search, a damaged one, one that is away
      CandidateFailed           one distiller cannot be trained: a row of the leaderboard
    AutoKDWarning               something is odd, and the program goes on

Every constructor takes one message. The others of the family stay in the rooms that raise them:
``NotOffered``, ``TornBank``, ``StorageAway``, ``RankLost``, ``CandidateOver``,
``CandidatePruned``. This file imports nothing but the standard library. The model is BoTorch's
``botorch.exceptions``.
"""
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


class AutoKDError(Exception):
    """The base of everything that this package raises on purpose."""


class UserError(AutoKDError):
    """A mistake of the user's, told in one line that names the config key, argument or file.

    The tools print it and stop; every other exception is a fault of the program and keeps its
    traceback.
    """


class ConfigError(UserError, ValueError):
    """A config or an argument of the command line."""


class DataError(UserError, ValueError):
    """Images, annotations or the folder they should be in."""


class CheckpointError(UserError, ValueError):
    """A file of weights: missing, torn, or of another network."""


class StudyError(UserError):
    """The study of a search: another search's, a damaged one, or one that cannot be reached.

    Not a ValueError: those may be a distiller's fault, and this never is.
    """


class OperationMissing(UserError, NotImplementedError):
    """A network calls an operation that only the compiled mmcv has, and it is not installed."""


class CandidateFailed(AutoKDError):
    """A distiller that cannot be trained; the message is the reason in one line."""


class AutoKDWarning(UserWarning):
    """The base of the warnings of this package, for ``warnings.filterwarnings``."""


class DegenerateBatchWarning(AutoKDWarning):
    """A batch of which a distance says nothing, such as one image where pairs are compared."""


class InstallationWarning(AutoKDWarning):
    """Packages that have overwritten each other; ``autokd doctor`` looks closer."""

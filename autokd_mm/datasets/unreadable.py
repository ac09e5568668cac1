"""Telling a file that cannot be read from every other thing that goes wrong while reading it."""
from __future__ import annotations

# How torch begins the text of an exception that a dataloader's worker has raised.
OF_A_WORKER = 'Original Traceback'


def own_words(error: BaseException) -> str:
    """What an exception says: its text, of a worker of a dataloader the last line of it, without
    the name of the exception."""
    text = str(error).strip()
    if OF_A_WORKER not in text:
        return text
    last = text.splitlines()[-1].strip()
    name, colon, words = last.partition(': ')
    return words if colon and name.rpartition('.')[2] == type(error).__name__ else last


def unreadable(error: BaseException) -> str:
    """Which file cannot be read and why, '' where ``error`` is something else.

    Args:
        error: of a dataset or its pipeline, also as torch raises it again for a worker.
    """
    words = own_words(error)
    if isinstance(error, OSError):  # missing, no permission, or PIL's UnidentifiedImageError
        named = getattr(error, 'filename', None)
        return f'{named}: {error.strerror}' if named else words
    # MMCV's LoadImageFromFile asserts this, and the decoder of OpenCV has errors of its own.
    if isinstance(error, AssertionError) and words.startswith('failed to load image'):
        return words
    return words if type(error).__module__ == 'cv2' else ''

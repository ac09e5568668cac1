"""Where a training goes on that was interrupted."""
from __future__ import annotations

import os
from glob import escape, glob
from typing import Optional

_LAST = 'last_checkpoint'  # MMEngine's note: the path of the checkpoint that was written last


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """The checkpoint that a training has written last; ``None`` where it has written none.

    MMEngine notes a path, which leads nowhere once the folder has been moved, or from another
    current folder, and to the training's own folder from a copy of it; a writer that is killed may
    leave the note empty.
    """
    try:
        with open(os.path.join(work_dir, _LAST), encoding='utf-8', errors='replace') as file:
            noted = file.read().strip()
    except OSError:
        return None
    for path in (os.path.join(work_dir, os.path.basename(noted)), noted):
        if os.path.isfile(path):
            return path
    if '://' in noted:  # on another storage
        return noted
    kept = [path for kind in ('epoch_*.pth', 'iter_*.pth')
            for path in glob(os.path.join(escape(work_dir), kind))]
    return max(kept, key=os.path.getmtime, default=None)

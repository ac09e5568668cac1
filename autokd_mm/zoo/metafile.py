"""What a package's metafile says of a published network."""
from __future__ import annotations

import glob
import os
from typing import Optional

from mmengine.fileio import load

from autokd_mm.zoo.names import Source


def checkpoint(source: Source) -> Optional[str]:
    """URL of the published weights of a config; ``None`` where none are listed, or where the
    config is a file of the user's."""
    if not source.package:
        return None
    for metafile in sorted(glob.glob(os.path.join(os.path.dirname(source.file), '*.y*ml'))):
        try:
            models = (load(metafile) or {}).get('Models') or []
        except Exception:  # a damaged one is as good as none
            continue
        for model in models:
            if str(model.get('Config', '')).partition('/')[2] == source.path \
                    and model.get('Weights'):
                return str(model['Weights'])
    return None

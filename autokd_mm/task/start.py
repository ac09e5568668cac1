"""The weights that candidates and the full training start from."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

from mmengine.model import BaseModule, initialize

from autokd_mm.bank.identity import weights_digest
from autokd_mm.models.algorithms.pretrained import names_a_file
from autokd_mm.models.algorithms.teacher import read_checkpoint
from autokd_mm.models.algorithms.weights import start


class StartingWeights:
    """What a config says of a student's first weights beside the student's own ``init_cfg``.

    These are ``load_from``, and ``model.init_cfg`` of the algorithm. As in a full training what
    fits is taken, whatever prefix the file's names have, and the rest stays as initialised.

    Args:
        config: of the search.
        say: told once for each file what of it fits.
    """

    def __init__(self, config: Any, say: Callable[[str], None]) -> None:
        own = config.model.get('init_cfg') or []
        own = [own] if isinstance(own, dict) else list(own)
        self._others = [one for one in own if not names_a_file(one)]
        self.files: List[Tuple[str, str]] = [
            ('model.init_cfg.checkpoint', one['checkpoint']) for one in own if names_a_file(one)]
        if config.get('load_from'):
            self.files.append(('load_from', str(config.load_from)))
        self._say, self._digests = say, {}  # type: Any, Dict[str, str]

    def initialise(self, student: BaseModule) -> None:
        """Initialise ``student``, with torch's generator where it is random.

        Raises:
            CheckpointError: a file that cannot be read, or of another network.
        """
        if self._others:
            initialize(student, self._others)
        student.init_weights()
        for key, path in self.files:
            found = start(student.state_dict(), read_checkpoint(path, key), key, path)
            student.load_state_dict(found.fits, strict=False)
            if path not in self._digests:
                self._say(f'{key}: {found.in_words(path)}')
            self._digests[path] = weights_digest(found.fits)

    def description(self) -> Dict[str, Any]:
        """JSON values that tell starts apart; empty where there are no files, as in studies from
        before they were read."""
        if not self.files:
            return {}
        return dict(start=[self._digests[path] for _, path in self.files])

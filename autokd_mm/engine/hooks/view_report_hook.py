"""How often each augmented view was seen."""
from __future__ import annotations

from typing import Any, List, Optional

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from autokd_mm.bank.records import where_from
from autokd_mm.registry import HOOKS

_KEY = 'views_seen'


@HOOKS.register_module()
class ViewReportHook(Hook):
    """Counts the images of each view that a training has seen, and logs it at the end.

    For a training on :class:`SeededViews`. The counts are kept in the message hub, so a training
    that was resumed reports all of its epochs. Every process sees the same views equally often
    (see :class:`ViewSampler`), so each counts for all.
    """

    priority = 'LOW'

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Any = None) -> None:
        origin = where_from((data_batch or {}).get('data_samples'))
        if origin is None:
            return
        seen = self._seen(runner)
        for view in origin[1]:
            seen.extend([0] * (view + 1 - len(seen)))
            seen[view] += get_world_size()
        runner.message_hub.update_info(_KEY, seen)

    def after_train(self, runner: Any) -> None:
        seen = self._seen(runner)
        views = getattr(runner.train_dataloader.dataset, 'views', len(seen))
        samples = getattr(runner.train_dataloader.dataset, 'samples', 0)
        if samples:
            seen = seen + [0] * (views - len(seen))
            runner.logger.info('how often each sample was seen in each view: ' + ', '.join(
                f'{view}: {count / samples:.3g}' for view, count in enumerate(seen)))

    @staticmethod
    def _seen(runner: Any) -> List[int]:
        return list(runner.message_hub.get_info(_KEY, []))

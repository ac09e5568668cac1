from autokd_mm.models.distillers.cross_heads import lend_teacher
from autokd_mm.models.distillers.early_stop import as_far_as_recorded, calls_of, stop_when
from autokd_mm.models.distillers.fading import all_off, distill_losses, fade, no_losses
from autokd_mm.models.distillers.from_spec import (distiller_config, for_bank, loss_schedules,
                                                   spec_from_config)
from autokd_mm.models.distillers.layers import (CrossHead, LayerPair, Layers, Predictions,
                                                checked_factors, pair_names, split_source)
from autokd_mm.models.distillers.listening import (hear_teacher, hook_to_teacher, recording,
                                                   runs_teacher)
from autokd_mm.models.distillers.records import (RecordGuard, bring_to_one_grid, clear_records,
                                                 disable_inplace, feed_teacher)
from autokd_mm.models.distillers.regions import show_samples, show_sizes
from autokd_mm.models.distillers.sources import refuse_unknown_sources, unknown_module

__all__ = [
    'CrossHead', 'LayerPair', 'Layers', 'Predictions', 'RecordGuard', 'all_off',
    'as_far_as_recorded', 'bring_to_one_grid', 'calls_of', 'checked_factors', 'clear_records',
    'disable_inplace', 'distill_losses', 'distiller_config', 'fade', 'feed_teacher', 'for_bank',
    'hear_teacher', 'hook_to_teacher', 'lend_teacher', 'loss_schedules', 'no_losses',
    'pair_names', 'recording', 'refuse_unknown_sources', 'runs_teacher', 'show_samples',
    'show_sizes', 'spec_from_config', 'split_source', 'stop_when', 'unknown_module'
]

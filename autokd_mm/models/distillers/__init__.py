from autokd_mm.models.distillers.from_spec import Layers, distiller_config, spec_from_config
from autokd_mm.models.distillers.records import (RecordGuard, clear_records, disable_inplace,
                                                 feed_teacher)
from autokd_mm.models.distillers.regions import show_samples

__all__ = [
    'Layers', 'RecordGuard', 'clear_records', 'disable_inplace', 'distiller_config',
    'feed_teacher', 'show_samples', 'spec_from_config'
]

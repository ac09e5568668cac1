from autokd_mm.models.heads.deit_distill_head import DeiTDistillHead
from autokd_mm.models.heads.shared_boxes import BoxLogits, share_boxes

__all__ = ['BoxLogits', 'DeiTDistillHead', 'share_boxes']

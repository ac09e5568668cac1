from autokd_mm.models.heads.deit_distill_head import DeiTDistillHead

__all__ = ['DeiTDistillHead']

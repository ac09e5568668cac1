"""What a distiller adds to the training loss."""
from autokd_mm.models.losses.feature_loss import FeatureLoss
from autokd_mm.models.losses.logits_loss import LOGITS_DISTANCES, LogitsLoss

__all__ = ['FeatureLoss', 'LOGITS_DISTANCES', 'LogitsLoss']

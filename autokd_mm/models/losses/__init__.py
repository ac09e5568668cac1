"""What a distiller adds to the training loss."""
from autokd_mm.models.losses.boxes_loss import BOX_DISTANCES, BOX_WEIGHTS, BoxesLoss
from autokd_mm.models.losses.class_maps_loss import CLASS_DISTANCES, ClassMapsLoss
from autokd_mm.models.losses.feature_loss import FeatureLoss
from autokd_mm.models.losses.logits_loss import LOGITS_DISTANCES, LogitsLoss
from autokd_mm.models.losses.quality_loss import QualityLoss

__all__ = ['BOX_DISTANCES', 'BOX_WEIGHTS', 'BoxesLoss', 'CLASS_DISTANCES', 'ClassMapsLoss',
           'FeatureLoss', 'LOGITS_DISTANCES', 'LogitsLoss', 'QualityLoss']

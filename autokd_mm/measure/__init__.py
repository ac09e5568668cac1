"""What a student is worth: loss, gap to the teacher and the metric of its task."""
from autokd_mm.measure.dense_evaluation import evaluate_dense
from autokd_mm.measure.dense_metrics import BoxMAP, DenseMetric, MeanIoU, mean_iou
from autokd_mm.measure.evaluation import evaluate
from autokd_mm.measure.losses import find_mode, total_loss
from autokd_mm.measure.terms import (calibrated_cross_entropy, debiased_cka_gap, linear_cka_gap,
                                     linear_gap, mse_gap, relation_gap)

__all__ = ['BoxMAP', 'DenseMetric', 'MeanIoU', 'calibrated_cross_entropy', 'debiased_cka_gap',
           'evaluate', 'evaluate_dense', 'find_mode', 'linear_cka_gap', 'linear_gap', 'mean_iou',
           'mse_gap', 'relation_gap', 'total_loss']

"""Pictures of what a distiller compares."""
from autokd_mm.visualization.compared_maps import ComparedMaps, compare
from autokd_mm.visualization.loading import load_image, load_model
from autokd_mm.visualization.picture import draw

__all__ = ['ComparedMaps', 'compare', 'draw', 'load_image', 'load_model']

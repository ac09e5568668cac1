"""WHAT a point of the space computes: torch modules registered in MMRazor."""
from autokd_mm.models import (algorithms, backbones, connectors, distances, losses,  # noqa: F401
                              transforms)

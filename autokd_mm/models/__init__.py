"""WHAT a point of the space computes: torch modules registered in MMRazor."""
from autokd_mm.models import (algorithms, backbones, connectors, distances, heads,  # noqa: F401
                              losses, transforms)

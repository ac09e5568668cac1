"""Connectors between features of different shapes."""
from autokd_mm.models.connectors.conv_connector import ConvConnector, IdentityConnector, resize
from autokd_mm.models.connectors.cross_head_connector import CrossHeadConnector

__all__ = ['ConvConnector', 'CrossHeadConnector', 'IdentityConnector', 'resize']

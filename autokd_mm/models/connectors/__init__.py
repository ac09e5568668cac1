"""Connectors between features of different shapes."""
from autokd_mm.models.connectors.conv_connector import ConvConnector, IdentityConnector, resize

__all__ = ['ConvConnector', 'IdentityConnector', 'resize']

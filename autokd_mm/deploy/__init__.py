"""A trained student as an ONNX file."""
from autokd_mm.deploy.export import OPSET, export_onnx
from autokd_mm.deploy.student import config_beside, student_of

__all__ = ['OPSET', 'config_beside', 'export_onnx', 'student_of']

"""Makes ``references`` (beside this file) importable from all tests of the models."""
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
# The tests run beside others; their tensors are small.
torch.set_num_threads(1)

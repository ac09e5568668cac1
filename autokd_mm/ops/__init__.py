"""mmcv's operations without its compiled extension, on torch's and torchvision's own.

Importing this room loads nothing: an operation's file is imported when ``mmcv.ops`` asks for it.
Each file holds one operation or a close family, under the names and with the arguments that mmcv's
own autograd functions call; most of them write into tensors that they are given.
"""
from autokd_mm.ops.stand_in import OPERATIONS, StandIn, register, stands_in

__all__ = ['OPERATIONS', 'StandIn', 'register', 'stands_in']

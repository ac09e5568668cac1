# DeiT-Tiny with a distillation token, 5,910,800 parameters (Touvron et al., ICML 2021).
_base_ = '../cifar100/deit-tiny.py'

deit_tiny = dict(head=dict(num_classes=1000, topk=(1, 5)))

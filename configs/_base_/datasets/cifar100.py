# CIFAR-100, read as CIFAR-10 is.
_base_ = './cifar10.py'

data_root = 'data/cifar100'

data_preprocessor = dict(
    num_classes=100,
    # as the published networks of chenyaofo/pytorch-cifar-models were trained with; CRD's differ
    # in the fourth decimal
    mean=[129.285, 124.0575, 112.4295],
    std=[68.1615, 65.382, 70.4055])

train_dataloader = dict(dataset=dict(type='mmrazor.LocalCIFAR100', data_root=data_root))

val_dataloader = dict(dataset=dict(type='mmrazor.LocalCIFAR100', data_root=data_root))
val_evaluator = dict(topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator

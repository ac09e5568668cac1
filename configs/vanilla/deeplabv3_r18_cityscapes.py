# DeepLabV3 with ResNet-18 as Auto-KD's supplement, section 2, trains it.
_base_ = [
    '../_base_/models/deeplabv3_r18.py',
    '../_base_/datasets/cityscapes_512x512.py',
    '../_base_/schedules/cityscapes_40k.py',
]

data_preprocessor = None  # the model has its own

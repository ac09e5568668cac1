# RegNetY-16GF, 83,590,140 parameters (Radosavovic et al., CVPR 2020), as timm has it; a timm
# checkpoint is read as it is. Needs timm, which requirements/optional.txt names.
regnety_16gf = dict(
    type='TimmClassifier',
    model_name='regnety_160',
    pretrained=False,
    num_classes=1000,
    loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'))

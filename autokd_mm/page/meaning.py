"""The levels of the space for people who have not read its description."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

from autokd_mm.space import Spec
from autokd_mm.space.layerwise_spec import LayerwiseSpec
from autokd_mm.space.predictions import PREDICTION_LEVELS
from autokd_mm.space.spec import LOGITS_LEVELS
from autokd_mm.space.start import START_LEVELS

# Level -> what it is called on a page, and what it asks.
LEVELS: Dict[str, Tuple[str, str]] = dict(
    transform=('transform', 'what is done to the feature maps before they are compared'),
    mask_ratio=('share that is masked', "of the student's positions"),
    feature_teacher=('teacher of the features', 'which of several is compared'),
    connector=('connector', "makes the student's feature as wide as the teacher's"),
    region=('region', 'which part of the image counts'),
    background_weight=('weight of the background', 'where a box has 1'),
    intra=('within an image', 'whole map, patches or several scales'),
    patch_grid=('patches a side', ''),
    inter=('compared along', 'samples, channels or every value by itself'),
    distance=('distance', 'between the two features'),
    temperature=('temperature', 'of the distance between features'),
    feature_weight=('weight of the features', 'beside the task loss, which has 1'),
    feature_schedule=('schedule of that weight', 'in the course of the training'),
    logits=('logits', 'distance between the predictions'),
    logits_teacher=('teacher of the logits', 'which of several is compared'),
    logits_temperature=('temperature of the logits', 'higher: softer predictions'),
    logits_weight=('weight of the logits', 'beside the task loss, which has 1'),
    logits_schedule=('schedule of that weight', 'in the course of the training'),
    prediction=('class maps', "distance between the dense heads' classes"),
    prediction_weight=('weight of the class maps', 'beside the task loss, which has 1'),
    box=('boxes', "distance between the dense heads' boxes"),
    box_by=('what a box counts', ''),
    box_weight=('weight of the boxes', 'beside the task loss, which has 1'),
    quality=('centerness or objectness', 'distance between the two'),
    quality_weight=('weight of that', 'beside the task loss, which has 1'),
    prediction_head=('head of the predictions', ''),
    start=("the teacher's part", 'with which the student begins'),
    start_lr=('learning rate of that part', 'times that of the others'))


# Level -> option -> what it does; numbers say it themselves. docs/search_space.md has the formulas.
OPTIONS: Dict[str, Dict[str, str]] = dict(
    transform=dict(
        none='feature maps are compared as they are',
        spatial_attention='where in the image activations are strong',
        channel_attention='how active each channel is in the mean',
        attention_mask='positions and channels count as both networks are active there',
        teacher_attention_mask='positions and channels count as the teacher is active there',
        random_mask="some of the student's positions are hidden, and filled in from the others"),
    feature_teacher=dict(all="every teacher's"),
    connector=dict(
        conv1x1="a 1x1 convolution gives the student's feature the teacher's channels",
        conv1x1_bn="a 1x1 convolution and BatchNorm give it the teacher's channels",
        conv3x3="a 3x3 convolution gives the student's feature the teacher's channels"),
    region=dict(all='the whole image counts', foreground_background='boxes and the rest apart',
                instances='the boxes alone'),
    intra=dict(multi_scale='at full size and averaged over coarser grids',
               local='patch by patch'),
    inter=dict(sample='between the images of a batch', channel='channel by channel'),
    distance=dict(
        l2='squared difference', cosine='angle between features',
        pearson='1 - correlation', kl='KL divergence of softmaxes',
        gram_l2='difference of the matrices of similarities',
        rkd_distance='how far apart images are (RKD)',
        rkd_angle='angles between triples of images (RKD)',
        correlation='similarities of images, through a kernel (CC)',
        local_correlation='similarities of the patches of an image'),
    logits=dict(
        kl='KL divergence of softened predictions (KD)',
        pearson_inter='correlation over the classes of each image (half of DIST)',
        pearson_intra='correlation over the images for each class (half of DIST)',
        pearson_both='correlation over classes and over images (DIST)'),
    logits_teacher=dict(all="every teacher's: their mean where the config names it"),
    prediction=dict(
        bce='binary cross-entropy of each class',
        weighted_bce='the same, weighted by how far apart the two are (BCKD, CrossKD)',
        kl='KL divergence of the classes of each anchor'),
    box=dict(l1='absolute difference of the numbers that say a box',
             giou='1 - overlap of the boxes (GIoU)',
             kl='KL divergence of the distributions of their sides (LD)'),
    box_by=dict(confidence='as much as the teacher is sure of its class',
                difference='as much as the two differ in its classes',
                foreground='where the middle of its cell lies in a true box'),
    quality=dict(bce='binary cross-entropy'),
    prediction_head=dict(own="what the student's head says is compared",
                         cross="what the teacher's head says of the student's features (CrossKD)"),
    start=dict(own='as initialised', head="the head begins as the teacher's",
               neck_head="neck and head begin as the teacher's",
               classifier="the classifier begins as the teacher's"),
    start_lr={'0': 'frozen'})

# The same of `inter`, where it is the distance that decides what it does.
_ALONG: Dict[Tuple[str, str], str] = {
    ('sample', 'l2'): 'each value is divided by its root mean square over the images of a batch',
    ('sample', 'pearson'): 'each value, over the images of a batch',
    ('sample', 'kl'): 'all values of an image',
    ('channel', 'l2'): 'each channel is divided by its root mean square over positions and images',
    ('channel', 'pearson'): 'each channel, over positions and images',
    ('channel', 'kl'): 'the positions of each channel'}

# Options that do nothing; a transform that does nothing is worth saying.
_NOTHING = {'intra': 'none', 'inter': 'none', 'connector': 'identity'}


class Setting(NamedTuple):
    """A level of a distiller: its name, the option that was chosen, what that does, or where
    nothing is written of it what the level asks."""
    name: str
    option: str
    about: str


def recipe(spec: Spec) -> List[Tuple[str, List[Setting]]]:
    """The settings of a distiller, by part: one for each layer, the logits, the predictions."""
    if isinstance(spec, LayerwiseSpec):
        parts = [(name, branch) for name, branch in spec.layers if branch.has_feature]
        logits = spec.logits_branch
    else:
        parts = [('features', spec)] if spec.has_feature else []
        logits = spec
    found = [(name, [_setting(level, value, branch.distance)
                     for level, value in branch.feature_branch.to_dict().items()
                     if level not in LOGITS_LEVELS and _NOTHING.get(level) != value])
             for name, branch in parts]
    if spec.has_logits:
        found.append(('logits', [_setting(level, value) for level, value in
                                 logits.to_dict().items() if level.startswith('logits')]))
    said = [_setting(level, value) for level, value in logits.to_dict().items()
            if level in PREDICTION_LEVELS]
    begun = [_setting(level, value) for level, value in logits.to_dict().items()
             if level in START_LEVELS]
    return (found + ([('predictions', said)] if said else [])
            + ([("the student's start", begun)] if begun else []))


def name_of(level: str) -> str:
    """``feature_0/distance`` is of a layer."""
    layer, slash, own = level.rpartition('/')
    return f'{layer}{slash and ": "}{LEVELS.get(own, (own.replace("_", " "), ))[0]}'


def about(level: str) -> str:
    return LEVELS.get(level.rpartition('/')[2], ('', ''))[1]


def option_text(value: Any) -> str:
    """An option as it is read; ``repr`` of a word has quotes."""
    text = f'{value:g}' if isinstance(value, float) else str(value)
    return text.strip("'").replace('_', ' ')


def _setting(level: str, value: Any, distance: Any = None) -> Setting:
    own = level.rpartition('/')[2]
    does = OPTIONS.get(own, {}).get(str(value))
    if own == 'inter':
        does = _ALONG.get((str(value), str(distance)), does)
    return Setting(name_of(level), option_text(value), does or about(level))

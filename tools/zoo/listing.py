"""The families of the zoo: which there are, what each is for, and one config of each."""
import glob
import importlib.util
import os
import re
from collections import Counter

PACKAGES = ('mmdet', 'mmseg', 'mmpretrain')
MOST = 2  # configs of a folder that are tried, should its package not train the first
# Sizes of one network, the smallest first; a name that differs in one step only is the next size.
LADDERS = (
    ('atto', 'femto', 'pico', 'nano', 'tiny', 'small', 'base', 'large', 'xlarge', 'huge'),
    ('xxs', 'xs', 's', 'm', 'l', 'x'), ('xxsmall', 'xsmall', 'small'),
    ('t', 's', 'b', 'l', 'h'), ('r18', 'r34', 'r50', 'r101', 'r152'),
    ('r18-d8', 'r50-d8', 'r101-d8'), ('r18b-d8', 'r50b-d8', 'r101b-d8'),
    ('resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152'), ('50', '101', '152'),
    tuple(f'b{number}' for number in range(8)), tuple(f'mit-b{number}' for number in range(6)),
    tuple(f'pvt-v2-b{number}' for number in range(6)), ('hr18s', 'hr18', 'hr48'),
    ('hrnetv2p-w18', 'hrnetv2p-w32', 'hrnetv2p-w40'), ('d53', 'd101'), ('p5', 'p6'),
    ('11', '13', '16', '19'), ('18', '34', '50', '101', '152'), ('121', '161', '169', '201'))
_METRICS = dict(
    IoUMetric='semantic segmentation', Accuracy='classification',
    VOCMultiLabelMetric='multi-label classification')
_BOXES = ('CocoMetric', 'LVISMetric', 'VOCMetric', 'OpenImagesMetric', 'CrowdHumanMetric',
          'CityScapesMetric')
# A word in the type of the model or of what feeds it, and what it says of a config that it is in.
_OTHERS = (
    ('Track', 'video: follows objects from frame to frame'),
    ('Video', 'video: follows objects from frame to frame'), ('ReID', 're-identification'),
    ('SORT', 'video: follows objects from frame to frame'), ('YouTubeVIS', 'video'),
    ('Panoptic', 'panoptic segmentation'), ('Detectron2', 'needs the package detectron2'),
    ('MultiBranch', 'semi-supervised: it trains on images without annotations'),
    ('Depth', 'depth estimation'), ('CLRNet', 'lanes, neither boxes nor masks'),
    ('Retriev', 'retrieval'), ('ZeroShot', 'text-conditioned'), ('Caption', 'text'),
    ('VQA', 'text'), ('LEVIRCD', 'change between two images'))
_TEXT = ('language_model', 'text_encoder', 'text_backbone', 'tokenizer', 'lang_encoder')


def root(package):
    """The folder with the configs of an installed package; None where it is not installed."""
    spec = importlib.util.find_spec(package)
    folder = spec and os.path.join(os.path.dirname(spec.origin), '.mim', 'configs')
    return folder if folder and os.path.isdir(folder) else None


def families(package):
    """{folder: [paths of its configs]} of a package, of all folders but ``_base_``."""
    folder = root(package)
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, '*', '**', '*.py'), recursive=True)):
        parts = os.path.relpath(path, folder).split(os.sep)
        if '_base_' not in parts:
            found.setdefault(parts[0], []).append(path)
    return found


def words(path):
    return re.split('[_]', os.path.basename(path)[:-3])


def middling(paths):
    """The paths, the one whose name has the most of what is common in the folder first; of equal
    ones that which has a next size."""
    common = Counter(word for path in paths for word in set(words(path)))

    def rank(path):
        own = words(path)
        return (-sum(common[word] for word in own) / len(own), len(own),
                larger(path, paths) is None, path)

    return sorted(paths, key=rank)


def larger(path, paths):
    """The config that differs by the next size only, with whatever batch size; None: there is
    none."""
    def without_batch(parts):
        return [part for part in parts if not re.fullmatch(r'\d+xb\d+(-.*)?', part)]

    names = {tuple(without_batch(re.split('[_]', os.path.basename(other)[:-3]))): other
             for other in sorted(paths, reverse=True)}
    own = without_batch(words(path))
    for place, part in enumerate(own):
        for ladder in LADDERS:
            for small, large in zip(ladder, ladder[1:]):
                pattern = rf'(?<![a-z0-9]){re.escape(small)}(?![a-z0-9])'
                changed = re.sub(pattern, large, part, count=1)
                other = names.get((*own[:place], changed, *own[place + 1:]))
                if changed != part and other:
                    return other
    return None


def kind(config):
    """(task, '') of a config, or ('', why it is of none of the tasks)."""
    model, data = config.get('model') or {}, config.get('train_dataloader') or {}
    if not model.get('type'):
        return '', 'no network of its own'
    if any(key in model for key in _TEXT):
        return '', 'text-conditioned'
    if 'teacher_config' in model or 'teacher_ckpt' in model:
        return '', 'distils from a teacher of its own already'
    if model.get('backbone', {}).get('deploy'):
        return '', 'a deployed form, which is not trained'
    said = f'{model.type} {(model.get("data_preprocessor") or {}).get("type")} ' \
           f'{(data.get("dataset") or {}).get("type")}'
    for word, reason in _OTHERS:
        if word in said:
            return '', reason
    metrics = config.get('val_evaluator') or []
    metrics = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    types = [str(metric.get('type')) for metric in metrics]
    for metric in types:
        if 'Panoptic' in metric:
            return '', 'panoptic segmentation'
    if model.get('head', {}) and 'MultiLabel' in str(types):
        return 'multi-label classification', ''
    if not data.get('dataset') or not config.get('train_cfg'):
        return '', 'nothing to train it with (no train_dataloader)'
    for metric, one in zip(types, metrics):
        if metric in _METRICS:
            return _METRICS[metric], ''
        if metric in _BOXES:
            asked = str(one.get('metric', 'bbox'))
            return ('instance segmentation' if 'segm' in asked else 'detection'), ''
    if not metrics or types == ['None']:
        return '', 'self-supervised: nothing measures it on labels'
    return '', f'measured by {" and ".join(types)}'


def choices(paths, load, package=''):
    """Of the configs at ``paths`` those that are of a task, the most common name first; those of
    another package (mmpretrain has detectors) only where there are no others.

    Returns:
        [(path, task)], and why there is none.
    """
    own, others, why = [], [], Counter()
    for path in middling(paths):
        try:
            config = load(path)
            task, reason = kind(config)
        except Exception as error:  # a config that cannot be read
            task, reason = '', f'its config cannot be read ({" ".join(str(error).split())[:80]})'
        if not task:
            why[reason] += 1
        elif config.get('default_scope', package) == package:
            own.append((path, task))
        else:
            others.append((path, task))
        if len(own) == MOST:
            break
    found = (own or others)[:MOST]
    return found, '' if found else why.most_common(1)[0][0]

"""Small copies of configs: numbers change, types stay.

Which numbers are widths, sizes, depths and so on is known by their keys. All widths of a network
are divided by the same number, so that they go on fitting each other; where that does not fit,
because some of them are not in the config, the next smaller divisor is tried (``LEVELS``).
"""
import copy
import inspect
import re
from collections import Counter

from zoo.sides import nominal, shrink_sides, walk

# Divisor of widths (negative: of the backbone's alone), side of the images: the first with which a
# network trains and predicts.
LEVELS = ((8, 64), (-8, 64), (2, 64), (1, 64), (8, 128), (1, 128), (8, 224), (1, 224), (8, 320),
          (1, 320), (1, 400))
_WIDTH = re.compile(r'(^|_)(channels?|embed_dims?|dims?|in?planes|num_feats|num_channels|'
                    r'token_dims|hidden_dim|rfp_inplanes|feats)$')
_MOST = dict(num_queries=30, num_proposals=20, num_dn_queries=10, nms_pre=200, max_per_img=20,
             max_per_image=20, num_points=128, subdivision_num_points=128, top_k=50,
             max_masks_to_train=20, dense_topk_ratio=1.5, corner_topk=40, num_max_proposals=100,
             max_cached_images=4, min_kept=100, num_samples=16)
_NORMS = ('BN', 'SyncBN', 'BN2d')
_LAYERS = 6  # of a stack; tapped ones are moved with it
_WITHOUT_LOADING = ('init_cfg', 'pretrained', 'checkpoint')


def types(node, found=None):
    """The multiset of all ``type=`` in a config, but of weights to be loaded."""
    found = Counter() if found is None else found
    if isinstance(node, dict):
        if 'type' in node and not callable(node['type']):
            found[node['type']] += 1
        for key, value in node.items():
            if key not in _WITHOUT_LOADING:
                types(value, found)
    elif isinstance(node, (list, tuple)):
        for value in node:
            types(value, found)
    return found


def kept_types(config):
    """The types that shrinking must not change: of model, heads, pipelines and hooks."""
    return [types(config.get('model')), types(config.get('data_preprocessor')),
            types([_pipelines(config.get(name)) for name in ('train_dataloader',
                                                             'val_dataloader')]),
            types([config.get('default_hooks'), config.get('custom_hooks')])]


def _pipelines(node):
    if isinstance(node, dict):
        return [node[key] for key in ('pipeline', ) if key in node] + [
            _pipelines(value) for key, value in node.items() if key != 'pipeline']
    return [_pipelines(value) for value in node] if isinstance(node, (list, tuple)) else []


def shrink(config, task, divisor, side):
    """Make ``config`` small in place.

    Args:
        task: see :func:`listing.kind`.
        divisor: of all widths; negative: of the backbone's alone.
        side: of the images in pixels.

    Returns:
        How many classes are left.
    """
    _hasten(config.model)
    before = copy.deepcopy(kept_types(config))
    had, has = _shrink_classes(config, task)
    model = config.model
    for where in (model, config.get('data_preprocessor')):
        _strip_weights(where)
        _limit(where)
    if divisor > 1:
        _narrow(model, divisor)
    elif divisor < -1 and model.get('backbone'):
        _narrow(model.backbone, -divisor)
        for each in walk(model.get('neck') or [model[key] for key in model if 'head' in key]):
            if 'in_channels' in each:
                each['in_channels'] = _divided(each['in_channels'], -divisor)
            if model.get('neck') and not isinstance(model.neck, (list, tuple)):
                break
    _shallow(model)
    pipelines = [_pipelines(config.get(name)) for name in ('train_dataloader', 'val_dataloader')]
    around = [model, config.get('data_preprocessor'), pipelines, config.get('custom_hooks')]
    patches = [each['patch_size'] for each in walk(model)
               if isinstance(each.get('patch_size'), int)]
    if patches:
        side = -(-side // max(patches)) * max(patches)
    factor = side / max(nominal(around), 1)
    for node in around:
        shrink_sides(node, factor, 1 if side % 32 else 32)
        _limit(node)
    config.load_from, config.resume = None, False
    after = kept_types(config)
    assert after == before, f'types changed: {[(a - b, b - a) for a, b in zip(after, before)]}'
    return has


def _strip_weights(node):
    """Nothing is loaded, neither from disk nor from the net."""
    for each in walk(node):
        if 'pretrained' in each:
            each['pretrained'] = False if each.get('type', '').endswith('TIMMBackbone') else None
        own = each.get('init_cfg')
        if isinstance(own, dict) and 'checkpoint' in own:
            each['init_cfg'] = None
        elif isinstance(own, (list, tuple)):
            each['init_cfg'] = [one for one in own if 'checkpoint' not in one]


def _shrink_classes(config, task):
    """(number of classes, number that is left)."""
    # Of a detector's own head of label maps (HTC) the classes may stay: they are more.
    found = [each['num_classes'] for each in walk([config.model, config.get('data_preprocessor')])
             if isinstance(each.get('num_classes'), int)
             and (task.startswith('semantic') or 'Semantic' not in str(each.get('type')))]
    things = [each['num_things_classes'] for each in walk(config.model)
              if each.get('num_things_classes')]
    had = max(found + things, default=10)
    most = 11 if task.startswith('semantic') else 10
    if task.startswith('semantic') and 'reduce_zero_label=True' in _flat(config):
        most = 10
    has = min(had, most)
    for each in walk([config.model, config.get('data_preprocessor')]):
        for key in ('num_classes', 'num_things_classes'):
            if isinstance(each.get(key), int) and each[key] in (had, had + 1):
                each[key] += has - had
        weights = each.get('class_weight')
        if isinstance(weights, (list, tuple)) and len(weights) in (had, had + 1):
            each['class_weight'] = list(weights[:has]) + list(weights[had:])
    return had, has


def _flat(config):
    from zoo.data import _reduces_zero
    dataset = config.train_dataloader.dataset
    while dataset.get('dataset'):
        dataset = dataset['dataset']
    return 'reduce_zero_label=True' if _reduces_zero(dataset) else ''


def _limit(node):
    for each in walk(node):
        for key, most in _MOST.items():
            value = each.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > most:
                each[key] = most
        if each.get('type') and str(each['type']).endswith('Sampler') and each.get('num', 0) > 32:
            each['num'] = 32


def _divided(value, divisor):
    if isinstance(value, bool) or isinstance(value, (str, dict)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(_divided(item, divisor) for item in value)
    return max(value // divisor, 1) if isinstance(value, int) and value > 16 else value


def _narrow(model, divisor):
    for each in walk(model):
        _name_defaults(each)
    for each in walk(model):
        for key, value in list(each.items()):
            if _WIDTH.search(key):
                each[key] = _divided(value, divisor)
            elif key == 'num_groups' and value == 32:
                each[key] = 32 // divisor
            elif key == 'widen_factor':
                each[key] = value / divisor
            elif key == 'deepen_factor':
                each[key] = min(value, 0.34)


def _hasten(model):
    """Let running statistics fit the random weights that stand in for pretrained ones: two steps
    hardly move them, and frozen ones never. What a part of the model normalises with by default
    is written out for it."""
    parts = [value for value in model.values() if isinstance(value, dict)]
    for each in list(walk(model)):
        cls = _class_of(each) if 'type' in each else None
        defaults = _defaults(cls) if inspect.isclass(cls) else {}
        norm = defaults.get('norm_cfg')
        if isinstance(norm, dict) and norm.get('type') in _NORMS and each in parts:
            each.setdefault('norm_cfg', copy.deepcopy(norm))
        if 'norm_eval' in defaults:
            each['norm_eval'] = False
        if 'frozen_stages' in each and 'frozen_stages' in defaults:
            each['frozen_stages'] = defaults['frozen_stages']
    for each in walk(model):
        if each.get('type') in _NORMS:
            each['momentum'] = 0.9


def _defaults(cls):
    """Defaults of what a class takes, those of its bases too where it hands arguments on."""
    found = {}
    for base in cls.__mro__:
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters
        for name, parameter in parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                found.setdefault(name, parameter.default)
        if not any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
            break
    return found


def _class_of(each):
    from mmengine.registry import DefaultScope
    from mmengine.registry import MODELS as ROOT
    scope = DefaultScope.get_current_instance().scope_name
    registry = ROOT.children.get(scope, ROOT)
    name = each.get('type')
    if not isinstance(name, str):
        return name
    try:
        return registry.get(name)
    except Exception:  # a scope that is not installed: building says so
        return None


def _name_defaults(each):
    """Write widths that a module has by default, and those of a named architecture, into its
    config."""
    cls = _class_of(each) if 'type' in each else None
    if not inspect.isclass(cls):
        return
    _name_arch(each, cls)
    for name, value in _defaults(cls).items():
        if _WIDTH.search(name) and name not in each and _divided(value, 2) != value:
            each[name] = copy.deepcopy(value)


def _name_arch(each, cls):
    arch = each.get('arch')
    if arch is None and 'arch' in inspect.signature(cls.__init__).parameters:
        arch = inspect.signature(cls.__init__).parameters['arch'].default
    zoo = next((getattr(cls, name) for name in ('arch_zoo', 'arch_settings')
                if isinstance(getattr(cls, name, None), dict)), {})
    if isinstance(arch, str):
        found = zoo.get(arch, zoo.get(arch.lower()))
        if isinstance(found, dict) and any(_WIDTH.search(key) for key in found):
            each['arch'] = copy.deepcopy(found)


def _shallow(model):
    """Cut long stacks of layers; the layers that are tapped move along."""
    for each in walk(model):
        for key in ('depths', 'num_layers'):
            value = each.get(key)
            if isinstance(value, (list, tuple)):
                each[key] = type(value)(min(item, 2) if isinstance(item, int) else item
                                        for item in value)
        value = each.get('num_layers')
        if not isinstance(value, int) or value <= _LAYERS:
            continue
        taps = each.get('out_indices')
        if isinstance(taps, (list, tuple)):
            moved = [round((tap + 1) * _LAYERS / value) - 1 if tap >= 0 else tap for tap in taps]
            if len(set(moved)) < len(moved):
                continue
            each['out_indices'] = type(taps)(moved)
        each['num_layers'] = _LAYERS

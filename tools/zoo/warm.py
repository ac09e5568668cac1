"""A process that has imported everything, of which families fork."""
import contextlib
import importlib

_HEAVY = ('optuna', 'torch', 'mmengine.runner', 'mmdet.apis', 'mmseg.apis', 'mmpretrain.apis',
          'sklearn.datasets', 'pycocotools.cocoeval', 'cv2', 'scipy.stats', 'autokd_mm.engine',
          'autokd_mm.proxy.trainer')


def load_everything():
    """Import torch, the OpenMMLab packages and ours."""
    import autokd_mm  # noqa: F401  what stands in for compiled operations comes first
    for name in _HEAVY:
        with contextlib.suppress(ImportError):  # a package that is not installed
            importlib.import_module(name)


def prepare():
    """Checkpoints are read as our tools read them, and configs are written as they are: laying
    them out takes ten times as long as the training of a family."""
    import mmengine.config.config as config
    import mmengine.runner.runner as runner
    import torch
    from yapf.yapflib import yapf_api

    from autokd_mm.safe_load import use_everywhere
    use_everywhere()
    torch.set_num_threads(1)
    for module in (config, yapf_api):  # MMEngine's, OneDL's
        module.FormatCode = lambda text, **kwargs: (text, True)
    found = runner.collect_env()
    runner.collect_env = lambda: found


def forget():
    """Forget what MMEngine keeps of earlier runs in this process."""
    from mmengine.utils import ManagerMixin

    def below(cls):
        return [cls] + [found for each in cls.__subclasses__() for found in below(each)]

    for cls in below(ManagerMixin):
        if '_instance_dict' in vars(cls):
            cls._instance_dict.clear()

"""Where modules of earlier versions are now, for configs that name them in ``custom_imports``."""
import sys
from importlib.abc import MetaPathFinder
from typing import Any

# Old place -> new place, both below autokd_mm.
MOVED = {
    'engine.annotations': 'datasets.annotations',
    'engine.view_report': 'engine.hooks.view_report_hook',
    'space.errors': 'errors',
    'engine.capture': 'layers.capture', 'engine.layers': 'layers.find',
    'engine.dense_evaluation': 'measure.dense_evaluation',
    'engine.dense_metrics': 'measure.dense_metrics', 'engine.evaluation': 'measure.evaluation',
    'engine.measures': 'measure.terms',
    'engine.proxy_batches': 'proxy.batches', 'engine.candidate': 'proxy.candidate',
    'engine.proxy_data': 'proxy.data', 'engine.failures': 'proxy.failures',
    'engine.first_step': 'proxy.first_step', 'engine.freeze': 'proxy.freeze',
    'engine.held_out': 'proxy.held_out', 'engine.proxy_images': 'proxy.images',
    'engine.ranks': 'proxy.ranks', 'engine.rejection': 'proxy.rejection',
    'engine.schedule': 'proxy.schedule', 'engine.proxy': 'proxy.settings',
    'engine.sparse': 'proxy.sparse', 'engine.proxy_trainer': 'proxy.trainer',
    'engine.export': 'report.export', 'engine.progress': 'report.progress',
    'engine.results': 'report.results', 'engine.report': 'report.words',
    'engine.checks': 'space.checks',
    'engine.heartbeat': 'study.heartbeat', 'engine.journal': 'study.journal',
    'engine.lock': 'study.lock', 'engine.patience': 'study.patience',
    'engine.storage': 'study.storage', 'engine.study': 'study.study',
    'engine.time_limit': 'study.time_limit',
    'engine.factors': 'task.factors', 'engine.task': 'task.task',
    'engine.entropy': 'task.teacher_entropy',
    'engine.bank_config': 'teacher.bank_config', 'engine.teacher': 'teacher.checkpoint',
    'engine.dense_teacher': 'teacher.dense', 'engine.teacher_bank': 'teacher.full_bank',
    'engine.proxy_banks': 'teacher.proxy_banks'}


class _NewPlaces(MetaPathFinder):
    """Is asked last, when nobody has found a module; finds none either, but says where it is."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        package, _, name = fullname.partition('.')
        if package == 'autokd_mm' and name in MOVED:
            raise ModuleNotFoundError(f'{fullname} has moved to autokd_mm.{MOVED[name]}',
                                      name=fullname)


def tell_new_places() -> None:
    """Make ``import`` of an old place say the new one. Safe to call more than once."""
    if not any(isinstance(finder, _NewPlaces) for finder in sys.meta_path):
        sys.meta_path.append(_NewPlaces())

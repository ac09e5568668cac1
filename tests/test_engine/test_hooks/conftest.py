"""Trainings that take seconds, to be resumed and compared."""
import copy

import pytest
from mmengine.runner import Runner


@pytest.fixture
def short_trainings(tmp_path):
    """``short_trainings(base, hooks)``, of a tiny config, is ``runner(name, **config)``: two epochs
    of 4 steps with these custom hooks, no validation, the same rate."""

    def of(base, hooks):
        base.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=10)
        # No augmentation: a resumed training would draw another one.
        base.train_dataloader.dataset.update(indices=128, pipeline=[dict(type='PackInputs')])
        base.train_dataloader.update(batch_size=32, num_workers=0, persistent_workers=False)
        base.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
        base.val_cfg = base.val_dataloader = base.val_evaluator = None
        base.test_cfg = base.test_dataloader = base.test_evaluator = None
        base.param_scheduler = None
        base.randomness = dict(seed=0)
        base.custom_hooks = hooks

        def build(name, **values):
            config = copy.deepcopy(base)
            config.merge_from_dict(dict(work_dir=str(tmp_path / name),
                                        experiment_name=f'{tmp_path.name}_{name}', **values))
            return Runner.from_cfg(config)

        return build

    return of

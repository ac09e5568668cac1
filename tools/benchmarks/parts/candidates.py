"""Candidates of a search config, run one by one outside a search: what the benchmarks share."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import _cli  # noqa: E402
from parts.dense_terms import DenseTerms  # noqa: E402


class Candidates:
    """Everything between a search config and :meth:`ProxyTrainer.train`, made as a search does.

    Args:
        args: of a parser made by ``_cli.parser``.
        test_images: the first so many images of the test dataloader give ``test_metric``;
            0 for all. Of classifiers; tables of other tasks have ``--no-test``.
    """

    def __init__(self, args, test_images=0):
        import numpy as np
        from mmengine.registry import DATASETS
        from mmengine.runner import Runner

        from autokd_mm.datasets.annotations import LABEL
        from autokd_mm.engine.preparation import prepare_teacher, prepare_trainer
        from autokd_mm.proxy.data import read_views
        from autokd_mm.teacher import checkpoint as teachers
        self.config = _cli.load(args)
        config, work_dir = self.config, self.config.work_dir
        config.resume = False
        config.default_hooks.checkpoint = None
        self.runner = Runner.from_cfg(config)
        self.loop = loop = self.runner.build_train_loop(config.train_cfg)
        loop.display.enabled = sys.stderr.isatty()
        self.task = task = loop.look()
        settings = loop.settings
        prepare_teacher(self.runner.model, self.runner, settings)
        made_from = teachers.made_from(self.runner.model.teacher, config)
        self.trainer = prepare_trainer(task, work_dir, made_from,
                                       task.curve(settings.full_training),
                                       self.runner.logger.warning, loop.display.show)
        self.runner.model.teacher.cpu()
        self.dense, self.test_pixels, self.test_labels = None, [], []
        if task.kind != LABEL:
            self.dense = DenseTerms(self.trainer, self.runner.model.teacher)
            return
        dataset = DATASETS.build(config.test_dataloader.dataset)
        rows = np.arange(min(test_images or len(dataset), len(dataset)))
        shape = self.trainer.held_out.images.bank.arrays['pixels'].shape[1:]
        self.test_pixels = np.empty((len(rows), *shape), np.uint8)
        self.test_labels = np.empty(len(rows), np.int64)
        read_views(dataset, rows, 1, 0, self.test_pixels, self.test_labels,
                   input_size=settings.proxy.input_size)

    def test_metric(self, student):
        """Top-1 accuracy in [0, 1] on the test images, in the precision of the proxy."""
        import torch

        from autokd_mm.layers.find import forward
        right, logits = 0, dict(logits=self.task.layers.logits[0].student)
        size = 100  # larger ones do not stay in a CPU's cache
        for start in range(0, len(self.test_labels), size):
            pixels = torch.from_numpy(self.test_pixels[start:start + size]).to(self.trainer.device)
            inputs = student.data_preprocessor(dict(inputs=pixels), training=False)['inputs']
            with self.trainer.precision():
                found = forward(student, logits, inputs)['logits']
            classes = found.argmax(1).cpu().numpy()
            right += int((classes == self.test_labels[start:start + size]).sum())
        return right / len(self.test_labels)

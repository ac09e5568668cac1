#!/usr/bin/env python3
"""Test a checkpoint on the test dataloader. The teacher is not needed."""
import os

import _cli


def parse_args():
    parser = _cli.parser(__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='of tools/train.py, tools/export_student.py or any '
                        'OpenMMLab training of the same network')
    parser.add_argument('--out', help='write the metrics to this JSON file')
    return parser.parse_args()


def main():
    args = parse_args()
    config = _cli.load(args)
    from autokd_mm.engine.config import check_writable
    _cli.require(config, args.config, 'test_dataloader', 'test_cfg', 'test_evaluator')
    if args.out:
        check_writable(os.path.dirname(os.path.abspath(args.out)), '--out')
    _cli.start_distributed(config, args.launcher)
    from mmengine.dist import is_main_process
    from mmengine.fileio import dump
    from mmengine.runner import Runner

    from autokd_mm.errors import CheckpointError
    from autokd_mm.models.algorithms.teacher import load_network
    from autokd_mm.pairs.images import student_alone
    from autokd_mm.task.classes import other_order
    from autokd_mm.whole_file import whole_file
    if 'architecture' in config.model:  # a distilled student: its teacher has nothing to do here
        config.model, config.data_preprocessor = student_alone(config), None
    config.load_from, config.resume = None, False
    runner = Runner.from_cfg(config)
    model = getattr(runner.model, 'module', runner.model)
    load_network(model, args.checkpoint, 'CHECKPOINT')
    differs = other_order(model, runner.test_loop.dataloader.dataset)
    if differs:
        raise CheckpointError(f'CHECKPOINT: {differs}')
    metrics = runner.test()
    if args.out and is_main_process():
        with whole_file(args.out, 'w') as file:
            dump(metrics, file, 'json')


if __name__ == '__main__':
    _cli.run(main)

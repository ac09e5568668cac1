#!/usr/bin/env python3
"""Recommend distillers without a trial: ``tools/recommend.py configs/search/digits.py``.

Writes the distillers that an experience ranks first for a search config, as configs for
tools/train.py. For two networks of the model zoo name both: tools/recommend.py TEACHER STUDENT.
"""
import os

import _cli


def parse_args():
    parser = _cli.parser(__doc__.splitlines()[0])
    parser.add_argument('student', nargs='?', metavar='STUDENT', help='then the first is TEACHER')
    parser.add_argument('--experience', metavar='FILE', help="in the place of the config's; "
                        'default is what the package brings')
    parser.add_argument('--count', type=int, default=5, help='how many')
    return parser.parse_args()


def paired(args):
    """The search config of TEACHER and STUDENT, written beside what is recommended."""
    from autokd_mm.cli.shipped import configs
    from autokd_mm.engine.config import check_writable
    from autokd_mm.zoo import make_pair
    names = [str(configs().get(word, word)) for word in (args.config, args.student)]
    folder = args.work_dir or './work_dirs/recommended'
    check_writable(folder)
    root = (args.cfg_options or {}).get('data_root')
    pair = make_pair(*names, os.path.join(folder, 'pair.py'), root)
    print(pair)
    return pair.path


def main():
    args = parse_args()
    if args.student:
        args.config = paired(args)
    config = _cli.load(args)
    from autokd_mm.engine.recommending import recommended
    from autokd_mm.errors import ConfigError
    if 'SearchLoop' not in str((config.get('train_cfg') or {}).get('type')):
        raise ConfigError(f'train_cfg.type: {args.config} is not a search config (its train loop '
                          "is not 'mmrazor.SearchLoop')")
    if args.count < 1:
        raise ConfigError(f'--count={args.count}: must be at least 1')
    config.train_cfg.dry_run, config.resume = True, False
    with _cli.config_put_back(config, always=True):
        for line in recommended(config, args.experience, args.count):
            print(line)


if __name__ == '__main__':
    _cli.run(main)

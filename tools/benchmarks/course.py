#!/usr/bin/env python3
"""Draw the course of a search as a picture by itself: that of its page, in colours of its own.

    python tools/benchmarks/course.py work_dirs/digits --figure docs/images/search_digits.svg
"""
import argparse
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import _cli  # noqa: E402

# Of a page by day; a page chooses others by night.
COLOURS = dict(ink='#c0392b', soft='#8a8f98', line='#c4c8ce', mark='#1f6fb4', bad='#b42020')
_SIZE = re.compile(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', help='of a search')
    parser.add_argument('--figure', required=True, help='the file to write, .svg')
    return parser.parse_args()


def alone(svg):
    """A picture of a page as a file of its own."""
    width, height = _SIZE.search(svg).groups()
    svg = re.sub(r'var\(--(\w+)\)', lambda found: COLOURS[found.group(1)], svg)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    background = f'<rect width="{width}" height="{height}" fill="white"/>'
    return svg.replace('<svg ', head, 1).replace('>', f'>{background}', 1)


def main():
    args = parse_args()
    from autokd_mm.errors import ConfigError
    from autokd_mm.page import facts_of
    from autokd_mm.page.plots import MISSING, course, installed
    from autokd_mm.study.status import open_studies
    if not installed():
        raise ConfigError(MISSING)
    drawn = course(facts_of(args.work_dir, *open_studies(args.work_dir)))
    if drawn is None:
        raise ConfigError(f'WORK_DIR: no trial in {args.work_dir} has a reward yet')
    with open(args.figure, 'w', encoding='utf-8') as file:
        file.write(alone(drawn[0]))
    print(args.figure)


if __name__ == '__main__':
    _cli.run(main)

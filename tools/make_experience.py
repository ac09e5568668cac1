#!/usr/bin/env python3
"""Make an experience of finished searches: ``tools/make_experience.py [NAME=]STUDY ... --out F``.

Each is the work dir of a search, a study.journal, the URL of a database, or a table of
tools/benchmarks/make_table.py. A search whose sampler has experience=F begins with what they say.
"""
import argparse
import os

import _cli


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('sources', nargs='+', metavar='[NAME=]STUDY_OR_TABLE',
                        help='those of one NAME are the same task; without one it is that of the '
                        'folder or file')
    parser.add_argument('--out', required=True, metavar='FILE', help='the experience to write')
    parser.add_argument('--add', action='store_true', help='keep what FILE has of other studies')
    parser.add_argument('--debug', action='store_true', help='show the traceback of a mistake')
    return parser.parse_args()


def warn_of_one_name(unnamed, tasks):
    """Of studies that may be of different tasks and have a name that nobody has given them."""
    studies = {(task.name, *(repr(task.about.get(key)) for key in ('study', 'began', 'file')))
               for task in tasks}
    for name in sorted(unnamed):
        count = sum(study[0] == name for study in studies)
        if count > 1:
            print(f'warning: {count} studies and tables are called {name} and taken for one task, '
                  'which the prior takes for one opinion; if they are not: NAME=STUDY_OR_TABLE')


def main():
    args = parse_args()
    if args.debug:
        os.environ['AUTOKD_DEBUG'] = '1'
    from autokd_mm.experience import FORMAT, of_source, read_whole, remember, write
    from autokd_mm.whole_file import refuse_another
    refuse_another(args.out, FORMAT.encode(), 'an experience')
    tasks = []
    for source in args.sources:
        task = of_source(source)
        print(f'{task.name}: {task.trials} distillers, {len(task.options)} options, '
              f'{task.samples or 0:,.0f} samples a trial')
        tasks.append(task)
    unnamed = {task.name for source, task in zip(args.sources, tasks)
               if not source.startswith(f'{task.name}=')}
    warn_of_one_name(unnamed, [*tasks, *(read_whole(args.out) if args.add else ())])
    if args.add:
        count = remember(args.out, *tasks)
    else:
        write(args.out, tasks)
        count = len(tasks)
    print(f'{args.out}: {count} studies and tables, {os.path.getsize(args.out):,} bytes')


if __name__ == '__main__':
    _cli.run(main)

#!/usr/bin/env python3
"""Train every distiller of a search config's space (or some of them) and write a table of what
came out.

    python tools/benchmarks/make_table.py tools/benchmarks/tables/digits.py --work-dir W --workers 2
    python tools/benchmarks/make_table.py tools/benchmarks/tables/digits.py --work-dir W \\
        --export tools/benchmarks/tables/digits.csv.gz

Every (distiller, seed) is one trial of a study in the work dir: kill it at any moment and start it
again, or start it several times. Distillers are taken in a random order, all seeds of one together,
so that a part of the table is a fair sample. Each row has what was measured on the held-out images
at the end and behind every epoch, and the accuracy on the test images.
"""
import csv
import datetime
import gzip
import io
import itertools
import json
import os
import platform
import random
import shlex
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import _cli  # noqa: E402

MEASURED = ('held_out_loss', 'calibrated_loss', 'gap', 'debiased_gap', 'mse_gap', 'linear_gap',
            'relation_gap', 'metric')
DENSE = ('recall', 'foreground_gap', 'maps_gap')  # of detectors and segmentors, see dense_terms.py
COLUMNS = ('index', 'seed', 'state', 'reason', *MEASURED, 'test_metric', 'seconds', 'curve')
BASELINE = -1  # the undistilled student's place in the list of distillers


def parse_args():
    parser = _cli.parser(__doc__.split('\n\n')[0])
    parser.fromfile_prefix_chars = '@'
    parser.add_argument('--seeds', type=int, default=2)
    parser.add_argument('--random', type=int, metavar='N', help='N distillers drawn from the space')
    parser.add_argument('--only', nargs='+', metavar='DISTILLER',
                        help='these instead: names of hand-crafted methods, or JSON of options; '
                             '@FILE takes one from each line of a file')
    parser.add_argument('--no-baseline', action='store_true',
                        help='leave the undistilled student out')
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--curve', action='store_true', help='measure behind every epoch')
    parser.add_argument('--test-images', type=int, default=0, help='0 takes all')
    parser.add_argument('--no-test', action='store_true',
                        help='leave the test images alone; the held-out ones are measured, of '
                             'detectors and segmentors always')
    parser.add_argument('--max-hours', type=float, default=1e9)
    parser.add_argument('--export', metavar='FILE.csv.gz', help='write what is finished and stop')
    return parser.parse_args()


def open_study(work_dir):
    import optuna

    from autokd_mm.study.journal import journal_path, open_storage
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage=open_storage(journal_path(work_dir)), study_name='table',
                               load_if_exists=True)


def units(count, args):
    """(position, seed) in the order of work; the undistilled student comes first, if at all."""
    order = list(range(count))
    random.Random(0).shuffle(order)
    if args.random:
        order = order[:args.random]
    first = [] if args.no_baseline else [BASELINE]
    return list(itertools.product(first + order, range(args.seeds)))


def next_trial(study, wanted):
    """The first unit nobody has finished or is alive with, as a running trial; None at the end."""
    from autokd_mm.study import study as studies
    taken = set()
    for trial in study.get_trials(deepcopy=False):
        unit = tuple(trial.user_attrs.get('unit', ()))
        if trial.state.is_finished() or studies.alive(trial):
            taken.add(unit)
    for unit in wanted:
        if unit not in taken:
            trial = study.ask()
            trial.set_user_attr(studies.WORKER, studies.worker_name())
            trial.set_user_attr('unit', list(unit))
            return trial, unit, len(taken)
    return None


def work(args):
    from parts.candidates import Candidates

    from autokd_mm.proxy.failures import CandidateFailed
    from autokd_mm.study import lock
    folder = args.work_dir
    os.makedirs(folder, exist_ok=True)
    with lock.exclusive(os.path.join(folder, '.lock')):
        bench = Candidates(args, 1 if args.no_test else args.test_images)
        args.no_test = args.no_test or bench.dense is not None
        study = open_study(folder)
        specs = listed(args, bench) if args.only else list(bench.task.space.enumerate())
        study.set_user_attr('about', about(args, bench, specs))
    wanted, started = units(len(specs), args), time.time()
    while time.time() - started < args.max_hours * 3600:
        with lock.exclusive(os.path.join(folder, '.turn.lock')):
            found = next_trial(study, wanted)
        if found is None:
            return
        trial, (position, seed), done = found
        spec, row = None if position == BASELINE else specs[position], {}
        try:
            row = run(bench, spec, seed, args.curve, not args.no_test)
        except CandidateFailed as failed:
            row = dict(state='failed', reason=str(failed))
        trial.set_user_attr('row', row)
        study.tell(trial, 0.0)
        print(f'{done + 1} of {len(wanted)}: {position} seed {seed} '
              f'{row.get("test_metric", row.get("metric", float("nan"))):.4f} '
              f'{row.get("seconds", 0):.1f} s '
              f'{spec.in_words() if spec else "undistilled"}', flush=True)


def listed(args, bench):
    from autokd_mm.space.handcrafted import handcrafted
    from autokd_mm.space.layerwise_spec import spec_from_dict
    return [spec_from_dict(json.loads(item)) if item.startswith('{')
            else handcrafted(item, bench.task.layers.same_shape) for item in args.only]


def run(bench, spec, seed, curve, test):
    points, started = [], time.perf_counter()
    trainer = bench.trainer

    def look(epoch, student):
        points.append(trainer.measure(student))

    from autokd_mm.proxy.failures import one_line_reason
    with one_line_reason():
        student = trainer.train(spec, look if curve else None, seed)
        points.append(trainer.measure(student))
    seconds = time.perf_counter() - started
    tested = dict(test_metric=bench.test_metric(student)) if test else {}
    if bench.dense is not None:
        points[-1] = dict(points[-1], **bench.dense.measure(student))
    return dict(points[-1], **tested, state='complete', seconds=seconds,
                curve=points if curve else [])


def about(args, bench, specs):
    """What a reader of the table must know of it; with ``--only`` the distillers, whose places in
    the space are unknown."""
    import mmengine
    import torch

    import autokd_mm
    space = bench.task.space
    command = ['python', 'tools/benchmarks/make_table.py', args.config]
    if args.random:
        command += ['--random', str(args.random)]
    command += ['--only', f'{len(specs)} distillers'] if args.only else []
    command += ['--no-baseline'] * args.no_baseline + ['--curve'] * args.curve
    command += ['--no-test'] * args.no_test
    if args.cfg_options:
        hidden = dict(data_root='DATA', teacher_ckpt='TEACHER')
        command += ['--cfg-options'] + [f'{key}={hidden.get(key, value)}'
                                        for key, value in args.cfg_options.items()]
    listed = dict(distillers=[spec.to_dict() for spec in specs]) if args.only else {}
    shapes = ({name: vars(one) for name, one in space.shapes.items()}
              if isinstance(space.shapes, dict) else vars(space.shapes))
    return dict(space={level: list(options) for level, options in space.levels()}, **listed,
                shapes=shapes, command=shlex.join(command),
                factors=[pair.factor for pair in bench.trainer.layers.pairs],
                proxy=bench.loop.settings.proxy.to_dict(), test_images=len(bench.test_labels),
                versions=dict(autokd_mm=autokd_mm.__version__, torch=torch.__version__,
                              mmengine=mmengine.__version__, python=platform.python_version()),
                device=str(bench.trainer.device), date=datetime.date.today().isoformat())


def export(args):
    """Finished rows as CSV behind lines of JSON; two exports of one study are the same bytes."""
    study = open_study(args.work_dir)
    rows, baseline = [], {}
    for trial in study.get_trials(deepcopy=False):
        if not trial.state.is_finished() or 'row' not in trial.user_attrs:
            continue
        (position, seed), row = trial.user_attrs['unit'], trial.user_attrs['row']
        if position == BASELINE:
            baseline[str(seed)] = row
        else:
            rows.append(dict(row, index=position, seed=seed))
    rows.sort(key=lambda row: (row['index'], row['seed']))
    about = listing(study.user_attrs['about'], rows)
    with_curve = any(row.get('curve') for row in rows)
    text = io.StringIO()
    text.write(f'# {json.dumps(dict(about, baseline=baseline))}\n')
    more = tuple(name for name in DENSE if any(name in row for row in rows))
    columns = COLUMNS[:-1] + more + (COLUMNS[-1:] if with_curve else ())
    table = csv.writer(text, lineterminator='\n')
    table.writerow(columns)
    for row in rows:
        table.writerow([_cell(row.get(name, '')) for name in columns])
    with gzip.GzipFile(args.export, 'wb', mtime=0) as file:
        file.write(text.getvalue().encode())
    print(f'{len(rows)} rows in {args.export}, {os.path.getsize(args.export) / 1024:.0f} KiB')


def listing(about, rows):
    """``about`` with the distillers of the rows where these are few: places in a large space are
    read by walking all of it. Their ``index`` becomes the place in that list."""
    from autokd_mm.space import DistillerSpace, Shapes
    if 'distillers' in about:
        return about
    space = DistillerSpace(about['space'], Shapes(**about['shapes']))
    wanted = sorted({row['index'] for row in rows})
    if len(wanted) > space.count() / 10:
        return about
    places = {index: place for place, index in enumerate(wanted)}
    for row in rows:
        row['index'] = places[row['index']]
    return dict(about, distillers=[spec.to_dict() for index, spec in enumerate(space.enumerate())
                                   if index in places])


def _cell(value):
    if isinstance(value, float):
        return f'{value:.6g}'
    if isinstance(value, list):
        return json.dumps([{name: float(f'{number:.6g}') for name, number in point.items()}
                           for point in value])
    return value


def main():
    args = parse_args()
    if args.export:
        return export(args)
    if args.workers > 1:
        own = list(sys.argv[1:])
        place = own.index('--workers')
        del own[place:place + 2]
        workers = [subprocess.Popen([sys.executable, os.path.abspath(__file__), *own])
                   for _ in range(args.workers)]
        sys.exit(max(worker.wait() for worker in workers))
    work(args)


if __name__ == '__main__':
    _cli.run(main)

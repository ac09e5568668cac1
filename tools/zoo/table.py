"""What was found, as a table."""
import datetime
import os
from collections import Counter, defaultdict

from zoo import listing, way

_OWN = 'its own package'
HEAD = ('| package | family | config | teacher | task | width, side | s | how it ended |\n'
        '|---|---|---|---|---|---|---|---|')


def row(record):
    """A line of the table."""
    level = record.get('level')
    ended = record['outcome']
    if record.get('diverged'):
        ended += f' ({record["diverged"]} more diverged)'
    if record['line']:
        stage = '' if record['outcome'] == way.OTHER or record.get('stage') in (
            None, '', 'plain') else f'{record["stage"]}: '
        ended += f': {stage}{record["line"]}'
    cells = [record['package'], record['family'], record.get('config', ''),
             '=' if record.get('teacher') == record.get('config') else record.get('teacher', ''),
             record.get('task', ''), _level(level) if level else '',
             f'{record.get("seconds", 0):.0f}', ended.replace('|', '/')]
    return '| ' + ' | '.join(cells) + ' |'


def _level(level):
    return f'1/{abs(level[0])}{" (backbone)" if level[0] < 0 else ""}, {level[1]}'


def counts(records):
    """{package: Counter of outcomes}, ``_OWN`` of what ended before ours began."""
    found = defaultdict(Counter)
    for record in records:
        found[record['package']][record['outcome']] += 1
        if record['outcome'] == way.REFUSED and record.get('stage') == 'plain':
            found[record['package']][_OWN] += 1
    return {package: found[package] for package in listing.PACKAGES if package in found}


def summary(records):
    """A table of how many went through."""
    lines = ['| package | families of the four tasks | its package alone does not train it here | '
             'of the others went through | refused in one line | too slow | defects | '
             'of other tasks |', '|---|---|---|---|---|---|---|---|']
    for package, found in counts(records).items():
        own = found.pop(_OWN, 0)
        asked = sum(found.values()) - found[way.OTHER]
        share = 100 * found[way.THROUGH] / max(asked - own, 1)
        lines.append(f'| {package} | {asked} | {own} | {found[way.THROUGH]} of {asked - own} '
                     f'({share:.0f} %) | {found[way.REFUSED] - own} | {found[way.SLOW]} | '
                     f'{found[way.DEFECT]} | {found[way.OTHER]} |')
    return '\n'.join(lines)


_TEXT = '''# The model zoo, family by family

`make check-zoo` takes one config of every folder that mmdet, mmseg and mmpretrain install in
`.mim/configs`, the one whose name has the most of what is common in its folder. It makes the
numbers small: widths, images, classes (10 digits), queries, the depth of stacks, the learning
rate (a hundredth, as nothing is pretrained), the schedules (one epoch). Every `type=` of
model, heads, pipelines and hooks stays, which the command asserts. Replaced are: data sets and
metrics of boxes, by those that read digit scenes (`VOCMetric` where the metric reads another
layout's boxes, `MultiLabelMetric` and `AveragePrecision` for several labels); pretrained weights,
by random ones, so that running statistics are neither frozen (`norm_eval`, `frozen_stages`) nor
slow (`momentum`), which random weights do not stand; `AmpOptimWrapper`, by `OptimWrapper`, as
there is no GPU. The teacher is the next size of the same name where the folder has one that
builds, otherwise (`=`) the network itself.
Where the package alone does not train the first config, the second most common one is tried.

Then: one step and a validation with the package alone; `tools/make_pair.py`; a dry run; a
search of two candidates of two steps (bank, held-out measure, found config; no early rejection,
pruner or final round; candidates that diverge on random weights are replaced, two at most); one
step of `tools/train.py` with the found config, its hooks and a validation; the export of the
student, whose names are compared with the network's. A family has 60 s of the processor.

{summary}

{missing}{seconds:.0f} s of the processor in all, {wall:.0f} min by the clock. {machine}, {dates}.

What `make_pair` chooses for pairs at full size: [pair.md](pair.md#some-pairs-of-the-zoo).

`width, side`: widths are divided by the first, images have the second in pixels. `s`: seconds of
the processor.

{table}
'''


def _missing(records):
    """How many folders have no record."""
    done = {(record['package'], record['family']) for record in records}
    every = {(package, family) for package in listing.PACKAGES if listing.root(package)
             for family in listing.families(package)}
    left = len(every - done)
    return f'{left} of {len(every)} folders have not been tried yet.\n\n' if left else ''


def write(path, records):
    """Write the table with what it means."""
    from autokd_mm.whole_file import whole_file
    order = {package: place for place, package in enumerate(listing.PACKAGES)}
    records = sorted(records, key=lambda each: (order[each['package']], each['family']))
    dates = sorted({record.get('date', '') for record in records})
    cores = len(os.sched_getaffinity(0))
    with whole_file(path, 'w') as file:
        file.write(_TEXT.format(
            summary=summary(records), missing=_missing(records),
            table='\n'.join([HEAD, *map(row, records)]),
            seconds=sum(record.get('seconds', 0) for record in records),
            wall=sum(record.get('wall', 0) for record in records) / 60,
            machine=f'{cores} CPU cores, of which one process uses one' if cores > 1 else
            'One CPU core',
            dates=' to '.join(dict.fromkeys([dates[0], dates[-1]])) if dates else
            datetime.date.today().isoformat()))

"""Candidates of terms for students that hardly detect, in the tables of the benchmarks."""
import gzip
import importlib
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

TOOLS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    path = list(sys.path)
    monkeypatch.syspath_prepend(str(TOOLS))
    yield
    sys.path[:] = path


@pytest.fixture
def terms(tools):
    return importlib.import_module('parts.dense_terms')


def detected(gt, boxes=(), scores=()):
    sample = DetDataSample(gt_instances=InstanceData(
        bboxes=torch.tensor(gt, dtype=torch.float).reshape(-1, 4)))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float))
    return sample


def test_recall_forgets_the_classes(terms):
    samples = [detected([[0, 0, 10, 10], [20, 20, 30, 30]],
                        [[0, 0, 10, 10], [20, 20, 30, 27]], [0.1, 0.2]),
               detected([[0, 0, 4, 4]]), detected([])]
    student = SimpleNamespace(predict=lambda inputs, found, rescale: found)
    # the second box has an IoU of 0.7: it counts at 0.5, 0.55, 0.6, 0.65 and 0.7
    assert terms.recall(student, None, samples) == [pytest.approx(0.75), 0]


def test_cells_in_objects(terms):
    boxes = terms.foreground((2, 2), (8, 8), [detected([[0, 0, 3, 3]]), detected([])])
    assert boxes.tolist() == [[[True, False], [False, False]], [[False] * 2] * 2]
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[0, 4:, 4:], labels[0, :4, :4] = 3, 255  # void is no object
    scene = SegDataSample(gt_sem_seg=PixelData(data=labels))
    assert terms.foreground((2, 2), (8, 8), [scene]).tolist() == [[[False, False], [False, True]]]


def test_maps_differ_where_the_teacher_sees_something(terms):
    teacher = torch.zeros(1, 2, 1, 2)
    teacher[0, 0, 0, 0] = 1
    student, sums = torch.zeros(1, 2, 1, 2), [0.0, 0.0]
    student[0, :, 0, 1] = 1  # where the teacher sees nothing
    terms.add_difference(sums, [student], [teacher])
    assert sums == [1, 2]
    assert terms.class_maps(SimpleNamespace(roi_head=None), None) == []


def table(path, baseline, rows):
    """Of make_table.py with the terms of detectors, without a test."""
    names = list(rows[0])
    with gzip.open(str(path), 'wt') as file:
        file.write(f'# {json.dumps(dict(baseline={"0": baseline}))}\n')
        file.write(','.join(['index', 'seed', 'state', 'seconds', *names]) + '\n')
        for place, row in enumerate(rows):
            file.write(','.join(map(str, [place, 0, 'complete', 1, *row.values()])) + '\n')
    return str(path)


def test_ranking_by_a_term_that_only_detectors_have(tmp_path, monkeypatch, capsys):
    """Held-out metrics of the long training, where nothing was tested."""
    module = importlib.import_module('ranking')
    row = dict(held_out_loss=1.0, calibrated_loss=1.0, gap=0.5, metric=0.01, recall=0.1,
               foreground_gap=0.5, maps_gap=0.2)
    short = table(tmp_path / 's.csv.gz', dict(row, seconds=1.0), [
        dict(row, recall=0.1 + 0.1 * place, gap=0.1 * (place % 3), maps_gap=0.2 + 0.03 * place)
        for place in range(6)])
    long = table(tmp_path / 'l.csv.gz', dict(row, seconds=1.0),
                 [dict(row, metric=0.1 * place) for place in range(6)])
    out = tmp_path / 'out.json'
    monkeypatch.setattr(sys, 'argv', ['ranking.py', short, long, '--out', str(out)])
    module.main()
    found = {row['name']: row['value'] for row in json.loads(out.read_text())}
    assert found['recall: tau'] == pytest.approx(1) and found['maps_gap: tau'] == pytest.approx(-1)
    assert 'gap + recall: tau' in found and 'foreground_gap: tau' not in found  # all are equal
    assert found['long training: highest accuracy'] == pytest.approx(50)
    assert '| recall | 1.00 |' in capsys.readouterr().out
    assert math.isfinite(found['long training: undistilled accuracy'])

"""Terms of a reward that are only candidates: what a student that hardly detects might be told by.

None of them is measured in a search; make_table.py adds them to rows of detectors and segmentors,
and ranking.py says whether they rank.
"""
import math

RECALL, FOREGROUND, MAPS = 'recall', 'foreground_gap', 'maps_gap'
TERMS = (RECALL, FOREGROUND, MAPS)
MOST = 30  # boxes of an image that count


class DenseTerms:
    """Measures students on the held-out images of a trainer.

    - ``recall``: share of the annotated boxes that one of the 30 best boxes meets, of whatever
      class, as a mean over IoUs from 0.5 to 0.95 (average recall of COCO, without classes).
    - ``foreground_gap``: 1 - linear CKA of student's and teacher's features, of the cells in boxes
      (label maps: of a class other than the first) alone.
    - ``maps_gap``: mean absolute difference of the probabilities of the classes, each cell weighted
      by the largest probability that the teacher gives there to a class of an object.

    Args:
        trainer: of the proxy.
        teacher: with its weights.
    """

    def __init__(self, trainer, teacher):
        import torch
        self.held, self.layers = trainer.held_out, trainer.layers
        with torch.no_grad():
            self.taught = [class_maps(teacher.eval(), inputs)
                           for inputs, _ in self.held.batches(teacher)]

    def measure(self, student):
        """``{term: value}``; NaN where a student has no such thing."""
        import torch

        from autokd_mm.layers.find import forward
        from autokd_mm.measure.terms import linear_cka_gap
        student.eval()
        recalls, differences, features = [], [0.0, 0.0], {pair.name: ([], []) for pair in
                                                          self.layers.pairs}
        images = self.held.images
        with torch.no_grad():
            for rows, taught, (inputs, samples) in zip(self.held._rows, self.taught,
                                                       self.held.batches(student)):
                said = forward(student, self.layers.sources('student'), inputs, samples)
                for pair in self.layers.pairs:
                    own, theirs = said[pair.name], images.teacher(pair.name, rows)
                    inside = foreground(own.shape[-2:], inputs.shape[-2:], samples)
                    if own.shape[-2:] == theirs.shape[-2:]:
                        for found, one in zip(features[pair.name], (own, theirs)):
                            found.append(one.movedim(1, -1)[inside].float())
                add_difference(differences, class_maps(student, inputs), taught)
                recalls += recall(student, inputs, samples)
        gaps = [linear_cka_gap(torch.cat(own), torch.cat(theirs))
                for own, theirs in features.values() if own]
        return {RECALL: _mean(recalls), FOREGROUND: _mean(gaps),
                MAPS: differences[0] / differences[1] if differences[1] else math.nan}


def _mean(values):
    return sum(values) / len(values) if values else math.nan


def class_maps(network, inputs):
    """Probabilities of the classes of objects, a list of maps N x C x H x W; none where a network
    scores boxes, not cells."""
    if hasattr(network, 'roi_head'):
        return []
    if hasattr(network, 'decode_head'):
        return [network._forward(inputs).softmax(1)[:, 1:]]
    return [scores.sigmoid() for scores in network._forward(inputs)[0]]


def add_difference(sums, student, teacher):
    for own, theirs in zip(student, teacher):
        weight = theirs.amax(1, keepdim=True)
        sums[0] += float((weight * (own - theirs).abs()).sum())
        sums[1] += float(weight.sum()) * own.shape[1]


def foreground(size, pixels, samples):
    """Which cells of a map lie in an object: N x H x W."""
    import torch
    import torch.nn.functional as F
    found = torch.zeros(len(samples), *pixels)
    for place, sample in enumerate(samples):
        if 'gt_sem_seg' in sample:
            labels = sample.gt_sem_seg.data[0]
            found[place, :labels.shape[0], :labels.shape[1]] = (labels > 0) & (labels < 255)
        else:
            for box in sample.gt_instances.bboxes:
                left, top, right, bottom = (int(value) for value in box)
                found[place, top:bottom + 1, left:right + 1] = 1
    return F.adaptive_avg_pool2d(found[:, None], tuple(size))[:, 0] >= 0.5


def recall(student, inputs, samples):
    """Of each image with boxes; nothing of a segmentor."""
    import torch
    from torchvision.ops import box_iou
    if 'gt_sem_seg' in samples[0]:
        return []
    found = []
    for sample in student.predict(inputs, samples, rescale=False):
        wanted = sample.gt_instances.bboxes
        if not len(wanted):
            continue
        order = sample.pred_instances.scores.argsort(descending=True)[:MOST]
        boxes = sample.pred_instances.bboxes[order]
        best = box_iou(wanted, boxes).amax(1) if len(boxes) else torch.zeros(len(wanted))
        found.append(_mean([float((best >= 0.5 + 0.05 * step).float().mean())
                            for step in range(10)]))
    return found

"""The equations of the regions, written out once more: NumPy, float64, loops, exact fractions.

Nothing here calls the package. Boxes are lists of (x1, y1, x2, y2) in pixels, one list per image.
"""
import math
from fractions import Fraction

import numpy as np
import references as ref
import torch


def random_batch(seed, n, most=5):
    """Boxes (whole and broken pixels, also outside, tiny and equal ones), images, batch size."""
    generator = np.random.default_rng(seed)
    batch = tuple(int(side) for side in generator.integers(20, 90, 2))
    boxes, images = [], []
    for _ in range(n):
        height, width = (int(generator.integers(side // 2, side + 1)) for side in batch)
        images.append((height, width))
        corners = generator.uniform(-0.3, 1.3, (int(generator.integers(0, most + 1)), 2, 2))
        if generator.random() < 0.5:
            corners = corners * 0.1 + generator.uniform(0, 0.9)
        corners = np.sort(corners, axis=1) * (width, height)
        if generator.random() < 0.5:
            corners = np.round(corners)
        boxes.append(torch.tensor(corners.reshape(-1, 4), dtype=torch.float32))
    return boxes, images, batch


def stands_for(size, batch):
    """The pixels of a map: its cells times the stride with which the batch has that many of them,
    a power of two where there is one; the batch where no stride leads there."""
    fits = [stride for stride in range(1, 2 * max(batch) + 1)
            if all(-(-side // stride) == cells for side, cells in zip(batch, size))]
    if not fits:
        return batch
    stride = next((one for one in fits if math.log2(one).is_integer()), fits[0])
    return size[0] * stride, size[1] * stride


def on_map(box, image, batch, size):
    """(x1, y1, x2, y2) in cells, clipped to the image; None for what is outside of it."""
    height, width = image
    batch = stands_for(size, batch)
    x1, y1, x2, y2 = (Fraction(float(value)) for value in box)
    if not (x1 <= x2 and y1 <= y2 and x2 > 0 and y2 > 0 and x1 < width and y1 < height):
        return None
    x1, x2 = (min(max(x, Fraction(0)), Fraction(width)) for x in (x1, x2))
    y1, y2 = (min(max(y, Fraction(0)), Fraction(height)) for y in (y1, y2))
    across, down = Fraction(size[1], batch[1]), Fraction(size[0], batch[0])
    return x1 * across, y1 * down, x2 * across, y2 * down


def touched(low, high, cells):
    """The cells [j, j + 1] that the interval touches, the one that holds it if it has no length."""
    found = [j for j in range(cells) if low < j + 1 and high > j]
    return found or [j for j in range(cells) if j <= low < j + 1]


def masks(boxes, images, batch, size):
    """FGD's masks: 1 / (h_r w_r) of the smallest box, and 1 / N_bg, both N x H x W."""
    foreground = np.zeros((len(boxes), ) + size)
    background = np.zeros_like(foreground)
    whole = stands_for(size, batch)
    for n, (of_image, image) in enumerate(zip(boxes, images)):
        for box in of_image.tolist():
            cells = on_map(box, image, batch, size)
            if cells is None:
                continue
            rows, columns = touched(cells[1], cells[3], size[0]), touched(cells[0], cells[2],
                                                                          size[1])
            for i in rows:
                for j in columns:
                    foreground[n, i, j] = max(foreground[n, i, j],
                                              1 / (len(rows) * len(columns)))
        free = [(i, j) for i in range(size[0]) for j in range(size[1])
                if i * whole[0] < image[0] * size[0] and j * whole[1] < image[1] * size[1]
                and foreground[n, i, j] == 0]
        for i, j in free:
            background[n, i, j] = 1 / len(free)
    return foreground, background


def weights(boxes, images, batch, size, background_weight):
    foreground, background = masks(boxes, images, batch, size)
    return (foreground + background_weight * background) * size[0] * size[1]


def weighted(s, t, weight):
    root = np.sqrt(weight)[:, None]
    return s * root, t * root


def fgd_feature_loss(s, t, boxes, images, batch, alpha, beta, tau=0.5):
    """L_fea of FGD, section 3.1, for one level: mean over the batch of
    sum over C, H, W of (alpha M S + beta (1 - M) S) A_S A_C (F_T - F_S)^2."""
    n, c, h, w = s.shape
    foreground, background = masks(boxes, images, batch, (h, w))
    total = 0.
    for i in range(n):
        spatial = h * w * ref.softmax(np.abs(t[i]).mean(axis=0).ravel(), tau).reshape(h, w)
        channel = c * ref.softmax(np.abs(t[i]).mean(axis=(1, 2)), tau)
        for k in range(c):
            for y in range(h):
                for x in range(w):
                    scale = alpha * foreground[i, y, x] + beta * background[i, y, x]
                    total += scale * spatial[y, x] * channel[k] * (t[i, k, y, x] - s[i, k, y, x])**2
    return total / n


def bilinear(feature, y, x):
    """C x H x W at a point; the middle of cell (i, j) is (i + 0.5, j + 0.5), edges go on."""
    h, w = feature.shape[1:]
    y, x = min(max(y - 0.5, 0.), h - 1.), min(max(x - 0.5, 0.), w - 1.)
    i, j = min(int(y), h - 1), min(int(x), w - 1)
    down, right = min(i + 1, h - 1), min(j + 1, w - 1)
    a, b = y - i, x - j
    return ((1 - a) * (1 - b) * feature[:, i, j] + (1 - a) * b * feature[:, i, right]
            + a * (1 - b) * feature[:, down, j] + a * b * feature[:, down, right])


def instances(feature, boxes, images, batch, side=7):
    """RoIAlign of all boxes, R x C x side x side."""
    size, result = feature.shape[2:], []
    for n, (of_image, image) in enumerate(zip(boxes, images)):
        rows, columns = (min(max(math.ceil(Fraction(pixels * cells, whole)), 1), cells)
                         for pixels, cells, whole in zip(image, size, stands_for(size, batch)))
        crop = feature[n, :, :rows, :columns]
        for box in of_image.tolist():
            cells = on_map(box, image, batch, size)
            if cells is None:
                continue
            spans = []
            for low, high, limit in ((cells[1], cells[3], rows), (cells[0], cells[2], columns)):
                length = max(high - low, Fraction(1))
                start = (low + high - length) / 2
                spans.append((max(min(max(start, Fraction(0)), limit - length), Fraction(0)),
                              length))
            pooled = np.zeros((feature.shape[1], side, side))
            count = [math.ceil(length / side) for _, length in spans]
            for i in range(side):
                for j in range(side):
                    points = [(float(spans[0][0] + spans[0][1] * (i + (p + Fraction(1, 2))
                                                                  / count[0]) / side),
                               float(spans[1][0] + spans[1][1] * (j + (q + Fraction(1, 2))
                                                                  / count[1]) / side))
                              for p in range(count[0]) for q in range(count[1])]
                    pooled[:, i, j] = sum(bilinear(crop, y, x) for y, x in points) / len(points)
            result.append(pooled)
    return np.stack(result) if result else np.zeros((0, feature.shape[1], side, side))

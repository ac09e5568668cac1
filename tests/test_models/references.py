"""The equations of all operations, written out once more: NumPy, float64, loops.

Nothing here calls the package. Features are arrays N x C x H x W; every loss returns a float.
"""
import itertools
import math

import numpy as np
import torch


# ---------------------------------------------------------------- what tests share
def random_pair(seed, smallest=(2, 2, 1, 1), largest=(6, 8, 6, 6), dtype=torch.float32):
    """A student that needs gradients and a teacher, of a random shape."""
    generator = torch.Generator().manual_seed(seed)
    shape = [int(torch.randint(low, max(low, high) + 1, (), generator=generator))
             for low, high in zip(smallest, largest)]
    student, teacher = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
                        for _ in range(2))
    return student.requires_grad_(), teacher


def arrays(*tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


def assert_close(actual, expected, tolerance=1e-5):
    """The relative error is below the tolerance."""
    actual = float(actual.detach()) if torch.is_tensor(actual) else float(actual)
    assert math.isfinite(actual)
    assert abs(actual - expected) <= tolerance * abs(expected) + 1e-12, (actual, expected)


def gradients(loss, student):
    gradient, = torch.autograd.grad(loss, student)
    return gradient


# ---------------------------------------------------------------- small pieces
def unit(vector):
    length = math.sqrt(float(np.sum(vector * vector)))
    return vector / length if length > 0 else vector * 0


def cosine_of(a, b):
    return float(np.sum(unit(a) * unit(b)))


def pearson_of(a, b):
    return cosine_of(a - a.mean(), b - b.mean())


def softmax(vector, tau=1.0):
    exponential = np.exp(vector / tau - np.max(vector / tau))
    return exponential / exponential.sum()


def kl_of(t, s, tau):
    """KL(softmax(t / tau) || softmax(s / tau)), by the definition."""
    p, q = softmax(t, tau), softmax(s, tau)
    return float(np.sum(p * (np.log(p) - np.log(q))))


def huber(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def vectors(x, inter):
    n, c, h, w = x.shape
    if inter == 'none':
        return [x[i].ravel() for i in range(n)]
    if inter == 'sample':
        return [x[:, i, j, k] for i in range(c) for j in range(h) for k in range(w)]
    return [x[:, i].ravel() for i in range(c)]


def mean_over_vectors(function, s, t, inter):
    pairs = list(zip(vectors(s, inter), vectors(t, inter)))
    return sum(function(a, b) for a, b in pairs) / len(pairs)


# ---------------------------------------------------------------- distances
def l2(s, t, inter='none'):
    if inter == 'none':
        return float(np.mean((s - t)**2))

    def normalised(a, b):
        a, b = (v / math.sqrt(float(np.mean(v * v))) for v in (a, b))
        return float(np.mean((a - b)**2))

    return mean_over_vectors(normalised, s, t, inter)


def cosine(s, t, inter='none'):
    return mean_over_vectors(lambda a, b: 1 - cosine_of(a, b), s, t, inter)


def pearson(s, t, inter='none'):
    return mean_over_vectors(lambda a, b: 1 - pearson_of(a, b), s, t, inter)


def kl(s, t, tau, inter='none'):
    n, c, h, w = s.shape
    if inter == 'none':
        where = [(i, slice(None), j, k) for i in range(n) for j in range(h) for k in range(w)]
    elif inter == 'sample':
        where = [(i, ) for i in range(n)]
    else:
        where = [(i, j) for i in range(n) for j in range(c)]
    return tau**2 * sum(kl_of(t[i].ravel(), s[i].ravel(), tau) for i in where) / len(where)


def gram_l2(s, t, inter):
    """Eq. 1 and 3 of the supplement, row by row."""
    if inter == 'channel':
        return sum(_gram_rows(a.reshape(len(a), -1), b.reshape(len(b), -1))
                   for a, b in zip(s, t)) / len(s)
    return _gram_rows(s.reshape(len(s), -1), t.reshape(len(t), -1))


def _gram_rows(s, t):
    total = 0.
    for i in range(len(s)):
        row_s = unit(np.array([float(s[i] @ s[j]) for j in range(len(s))]))
        row_t = unit(np.array([float(t[i] @ t[j]) for j in range(len(t))]))
        total += float(np.sum((row_s - row_t)**2))
    return total / len(s)


def flat_units(x):
    return [unit(sample.ravel()) for sample in x]


def rkd_distance(s, t):
    def potential(x):
        x, n = flat_units(x), len(x)
        d = np.array([[0. if i == j else math.sqrt(max(float(np.sum((x[i] - x[j])**2)), 1e-12))
                       for j in range(n)] for i in range(n)])
        return d / (d.sum() / (n * (n - 1)))

    return float(np.mean([huber(a - b) for a, b in zip(potential(s).flat, potential(t).flat)]))


def rkd_angle(s, t):
    s, t, n = flat_units(s), flat_units(t), len(s)

    def angle(x, i, j, k):
        return float(unit(x[j] - x[i]) @ unit(x[k] - x[i]))

    return sum(huber(angle(s, i, j, k) - angle(t, i, j, k))
               for i, j, k in itertools.product(range(n), repeat=3)) / n**3


def correlation(s, t, gamma=0.4, order=2):
    def kernel(x, i, j):
        return sum(math.exp(-2 * gamma) * (2 * gamma)**p / math.factorial(p) *
                   float(x[i] @ x[j])**p for p in range(order + 1))

    s, t = flat_units(s), flat_units(t)
    pairs = list(itertools.product(range(len(s)), repeat=2))
    return sum((kernel(s, i, j) - kernel(t, i, j))**2 for i, j in pairs) / len(pairs)


def patches(x, grid):
    """The grid x grid patches, row by row; the first ones are larger where it does not divide."""
    return [patch for rows in np.array_split(x, grid, axis=2)
            for patch in np.array_split(rows, grid, axis=3)]


def local_correlation(s, t, grid):
    h, w = (side - side % grid for side in s.shape[2:])
    total, n = 0., len(s)
    for sample in range(n):
        of_s, of_t = (patches(x[sample:sample + 1, :, :h, :w], grid) for x in (s, t))
        for a, b in itertools.product(range(grid**2), repeat=2):
            total += (cosine_of(of_s[a], of_s[b]) - cosine_of(of_t[a], of_t[b]))**2
    return total / (n * grid**4)


# ---------------------------------------------------------------- transforms
def spatial_attention(x):
    attention = np.stack([np.sum(sample**2, axis=0) / len(sample) for sample in x])
    return np.stack([a / math.sqrt(float(np.mean(a * a))) for a in attention])[:, None]


def channel_attention(x):
    n, c, h, w = x.shape
    return np.array([[[[float(np.sum(x[i, j])) / (h * w)]] for j in range(c)] for i in range(n)])


def attention_masks(s, t, tau=0.5):
    """M_s (N x H x W) and M_c (N x C) of FKD."""
    n, c, h, w = s.shape
    of_space, of_channel = np.zeros((n, h, w)), np.zeros((n, c))
    for i in range(n):
        space = np.abs(s[i]).mean(axis=0) + np.abs(t[i]).mean(axis=0)
        of_space[i] = h * w * softmax(space.ravel(), tau).reshape(h, w)
        of_channel[i] = c * softmax(np.abs(s[i]).mean((1, 2)) + np.abs(t[i]).mean((1, 2)), tau)
    return of_space, of_channel


def teacher_attention_mask(s, t, tau=0.5):
    """Both features times the root of FGD's attention, which is the teacher's alone."""
    n, c, h, w = t.shape
    mask = np.zeros(t.shape)
    for i in range(n):
        space = h * w * softmax(np.abs(t[i]).mean(axis=0).ravel(), tau).reshape(h, w)
        mask[i] = space * (c * softmax(np.abs(t[i]).mean((1, 2)), tau))[:, None, None]
    return s * np.sqrt(mask), t * np.sqrt(mask)


def attention_mask(s, t, tau=0.5):
    of_space, of_channel = attention_masks(s, t, tau)
    mask = np.sqrt(of_space[:, None] * of_channel[:, :, None, None])
    return s * mask, t * mask


def fkd(s, t, tau=0.5):
    """FKD's masked squared distance, as a mean."""
    of_space, of_channel = attention_masks(s, t, tau)
    total = 0.
    for i, j, k, m in itertools.product(*map(range, s.shape)):
        total += of_space[i, k, m] * of_channel[i, j] * (t[i, j, k, m] - s[i, j, k, m])**2
    return total / s.size


def average_pool(x, size):
    """Adaptive average pooling to size x size."""
    h, w = x.shape[2:]
    result = np.zeros(x.shape[:2] + (size, size))
    for i, j in itertools.product(range(size), repeat=2):
        rows = slice(i * h // size, -(-(i + 1) * h // size))
        columns = slice(j * w // size, -(-(j + 1) * w // size))
        result[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    return result


def multi_scale(function, s, t, sizes=(4, 2, 1)):
    """ReviewKD's HCL around any loss."""
    total, weights, weight = function(s, t), 1., 1.
    for size in sizes:
        if size >= min(s.shape[2:]):
            continue
        weight /= 2
        weights += weight
        total += weight * function(average_pool(s, size), average_pool(t, size))
    return total / weights


def local(function, s, t, grid):
    return sum(function(a, b) for a, b in zip(patches(s, grid), patches(t, grid))) / grid**2


# ---------------------------------------------------------------- logits
def dist_inter(s, t, tau):
    return tau**2 * sum(1 - pearson_of(softmax(a, tau), softmax(b, tau))
                        for a, b in zip(s, t)) / len(s)


def dist_intra(s, t, tau):
    s, t = (np.stack([softmax(row, tau) for row in x]) for x in (s, t))
    return tau**2 * sum(1 - pearson_of(a, b) for a, b in zip(s.T, t.T)) / s.shape[1]


def kd(s, t, tau):
    return tau**2 * sum(kl_of(b, a, tau) for a, b in zip(s, t)) / len(s)

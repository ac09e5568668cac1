"""A Gaussian process over answers to questions: what is answered alike is worth about the same.

    z = f + e,   e ~ N(0, s^2),   cov(f(a), f(b)) = u sum_q [a_q = b_q] / Q
                                                   + v exp(-sum_q w_q [a_q != b_q])

The first part is a sum of effects, one for each answer; the second knows what answers do together,
and by ``w_q`` which questions matter there (automatic relevance determination). A question that was
not asked has an answer of its own. s^2, u, v and w are the likeliest (maximum a posteriori under
log-normal priors).

Sources: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, sections 2.2, 5.1
and 5.4.1; Ru et al., "Bayesian Optimisation over Multiple Continuous and Categorical Inputs", ICML
2020 (the kernel of answers that differ); Jones et al., "Efficient Global Optimization of Expensive
Black-Box Functions", 1998 (expected improvement).
"""
import math
from typing import Tuple

import numpy as np

_STEPS = 25  # of Adam
_RATE, _MOMENTUM, _SQUARES = 0.3, 0.8, 0.95
# Logarithms before the first value: of s^2, v and u for values of variance 1, and how far off they
# may be; those of w add up to _FAR over all questions.
_NOISE, _JOINT, _LINEAR = math.log(0.1), math.log(0.5), math.log(0.5)
_FAR = 2.0
_SPREAD, _SPREAD_OF_PARTS = 1.5, 1.0


class GaussianProcess:
    """Fitted to values when it is made.

    Args:
        answers: of shape (values, questions), whole numbers of which only equality counts.
        values: of shape (values, ), higher is better; mean 0 and variance 1.
    """

    def __init__(self, answers: np.ndarray, values: np.ndarray) -> None:
        self._answers, self._values = answers, values
        count, questions = answers.shape
        self._pairs = np.triu_indices(count, 1)
        first, second = self._pairs
        self._differ = (answers[first] != answers[second]).astype(float)  # (pairs, questions)
        self._share = self._differ.sum(1) / max(questions, 1)
        usual = math.log(_FAR / max(questions, 1))
        self._usual = np.concatenate([np.full(questions, usual), [_NOISE, _JOINT, _LINEAR]])
        self._spread = np.concatenate([np.full(questions + 1, _SPREAD), [_SPREAD_OF_PARTS] * 2])
        self.logs = self._likeliest()
        kernel = np.add(*self._parts(self.logs))
        self._inverse = np.linalg.inv(kernel + math.exp(self.logs[-3]) * np.eye(count))
        self._weights = self._inverse @ values
        self.best = float((kernel @ self._weights).max())

    def predict(self, answers: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of f, of shape (candidates, ), for answers of shape
        (candidates, questions)."""
        apart = np.zeros((len(answers), len(self._answers)))
        differ = np.zeros_like(apart)
        weights = np.exp(self.logs[:-3])
        joint, linear = np.exp(self.logs[-2:])
        for column, weight in enumerate(weights):
            other = answers[:, column, None] != self._answers[None, :, column]
            apart += weight * other
            differ += other
        kernel = joint * np.exp(-apart) + linear * (1.0 - differ / max(len(weights), 1))
        variance = joint + linear - ((kernel @ self._inverse) * kernel).sum(1)
        return kernel @ self._weights, np.sqrt(np.maximum(variance, 1e-12))

    def expected_improvement(self, answers: np.ndarray) -> np.ndarray:
        """Over the best mean at the answers that have a value."""
        mean, deviation = self.predict(answers)
        above = (mean - self.best) / deviation
        density = np.exp(-0.5 * above**2) / math.sqrt(2.0 * math.pi)
        below = 0.5 * np.array([math.erfc(-one / math.sqrt(2.0)) for one in above])
        return deviation * (above * below + density)

    def loss(self, logs: np.ndarray) -> Tuple[float, np.ndarray]:
        """Negative logarithm of likelihood and prior, but for a constant, and its gradient.

        Args:
            logs: logarithms of w, s^2, v and u.
        """
        count = len(self._values)
        joint, linear = self._parts(logs)
        noise = math.exp(logs[-3])
        root = np.linalg.cholesky(joint + linear + noise * np.eye(count))
        half = np.linalg.inv(root)
        inverse = half.T @ half
        weights = inverse @ self._values
        off = (logs - self._usual) / self._spread
        loss = 0.5 * self._values @ weights + np.log(np.diag(root)).sum() + 0.5 * off @ off
        by_kernel = 0.5 * (inverse - np.outer(weights, weights))
        by_joint = by_kernel * joint
        gradient = np.concatenate([
            -2.0 * (by_joint[self._pairs] @ self._differ) * np.exp(logs[:-3]),
            [noise * np.trace(by_kernel), by_joint.sum(), (by_kernel * linear).sum()]])
        return float(loss), gradient + off / self._spread

    def _parts(self, logs: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """The kernel's, between all values: what answers do together, and the sum of effects."""
        joint, linear = np.exp(logs[-2:])
        apart = self._differ @ np.exp(logs[:-3])
        return joint * self._whole(np.exp(-apart)), linear * self._whole(1.0 - self._share)

    def _whole(self, of_pairs: np.ndarray) -> np.ndarray:
        """A symmetric matrix with 1 on its diagonal."""
        whole = np.eye(len(self._values))
        whole[self._pairs] = whole[self._pairs[::-1]] = of_pairs
        return whole

    def _likeliest(self) -> np.ndarray:
        logs = best = self._usual
        least = math.inf
        mean, squares = np.zeros_like(logs), np.zeros_like(logs)
        for step in range(1, _STEPS + 1):
            loss, gradient = self.loss(logs)
            if loss < least:
                least, best = loss, logs
            mean = _MOMENTUM * mean + (1 - _MOMENTUM) * gradient
            squares = _SQUARES * squares + (1 - _SQUARES) * gradient**2
            logs = logs - _RATE * (mean / (1 - _MOMENTUM**step)) / (
                np.sqrt(squares / (1 - _SQUARES**step)) + 1e-6)
        return best

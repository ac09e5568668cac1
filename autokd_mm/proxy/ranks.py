"""The processes that train one candidate together, and how they agree."""
from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch import distributed, nn

from autokd_mm.errors import AutoKDError, CandidateFailed, ConfigError
from autokd_mm.space.checks import whole_number

# One rank may wait long for what another does alone: for a bank, a storage, other workers' trials.
# That a rank is dead is not seen by this but by its connection, and by the launcher.
_PATIENCE = timedelta(days=7)
_WELL, _FAILED, _OVER = 0, 1, 2


class RankLost(AutoKDError):
    """Another rank of this worker has ended. What the worker is at is to be left as a killed
    worker leaves it. Not a RuntimeError: it is no distiller's fault."""


class CandidateOver(AutoKDError):
    """Rank 0 has given the candidate up; its reason is its own."""


def check_ranks(ranks: Any, world: int, batch_size: int = 0) -> None:
    """Refuse a ``train_cfg.ranks_per_trial`` where this process is one of ``world``.

    Args:
        batch_size: of the proxy; 0 where it is not known yet.

    Raises:
        ConfigError: no whole number from 1 on, not so many processes, or a batch that cannot be
            shared alike.
    """
    whole_number('train_cfg.ranks_per_trial', ranks, 1)
    if ranks != world:
        raise ConfigError(
            f'train_cfg.ranks_per_trial={ranks}, but the launcher has started {world} '
            f'process{"es" if world > 1 else ""} (world size {world}): a worker is torchrun '
            f'--nproc_per_node={ranks} tools/search.py CONFIG --launcher pytorch')
    if batch_size % ranks:
        raise ConfigError(f'proxy.batch_size={batch_size}: must be a multiple of '
                          f'train_cfg.ranks_per_trial={ranks}, each rank has its share')


class Ranks:
    """The processes of one worker; outside of a launcher the only one.

    They run the same program on their shares of each batch. Where they exchange numbers they
    :meth:`meet` first, so that nobody waits there for a rank whose candidate has failed.

    Attributes:
        rank: number of this one.
        size: how many there are.
        leads: whether this is rank 0, which alone knows the study.
    """

    def __init__(self) -> None:
        self.rank, self.size = get_dist_info()
        self.leads = self.rank == 0
        # The group of the gradients waits busily on GPUs, and not for hours.
        self._group = (distributed.new_group(backend='gloo', timeout=_PATIENCE)
                       if self.size > 1 else None)
        self._agreed: Optional[Exception] = None  # what the last meeting has raised

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This rank's rows of a batch; all ranks' in their order are the batch."""
        return rows if self.size == 1 else np.array_split(rows, self.size)[self.rank]

    def same(self, value: Any) -> Any:
        """Rank 0's value; whatever others give is not looked at."""
        if self.size == 1:
            return value
        box = [value]
        with _connected():
            distributed.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def meet(self, error: Optional[Exception] = None) -> None:
        """Go on where all ranks are well. To be called as often on each.

        Args:
            error: what has ended the candidate here.

        Raises:
            CandidateFailed: on some rank; everywhere with the reason of the first one.
            CandidateOver: rank 0 had another reason to end it, such as a pruner's.
            RankLost: another rank has a fault, or is dead.
            Exception: ``error``, where it is no failure of the candidate.
        """
        state = (_WELL if error is None else
                 _FAILED if isinstance(error, CandidateFailed) else _OVER)
        if self.size == 1:
            if error is not None:
                raise error
            return
        worst = torch.tensor([state])
        with _connected():
            distributed.all_reduce(worst, distributed.ReduceOp.MAX, group=self._group)
            if int(worst) == _WELL:
                return
            told: List[Any] = [None] * self.size
            text = f'{type(error).__name__}: {error}' if state == _OVER else str(error)
            distributed.all_gather_object(told, (state, text), group=self._group)
        self._agreed = error if error is not None and state == _OVER else _first(told)
        raise self._agreed

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What ends the block on one rank ends it on all of them, at their next meeting."""
        try:
            yield
        except Exception as error:
            if error is self._agreed or isinstance(error, RankLost):
                raise
            self.meet(error)
        else:
            self.meet()
        finally:
            self._agreed = None

    def mean(self, tensors: Sequence[Optional[torch.Tensor]],
             like: Sequence[torch.Tensor]) -> List[Optional[torch.Tensor]]:
        """Mean over the ranks of each tensor, the same bits on all of them.

        Args:
            tensors: ``None`` counts as zeros, and stays where all ranks have it.
            like: of the same shapes.
        """
        if self.size == 1:
            return list(tensors)
        # All that can run out of memory comes before the meeting.
        parts = [(torch.zeros_like(shape) if tensor is None else tensor.detach()).float()
                 for tensor, shape in zip(tensors, like)]
        # Not made there: a GPU would be waited for.
        there = torch.tensor([float(tensor is not None) for tensor in tensors]).to(
            parts[0].device, non_blocking=True)
        flat = torch.cat([part.reshape(-1) for part in parts] + [there])
        self.meet()
        with _connected():
            distributed.all_reduce(flat)
        flat /= self.size
        found: List[Optional[torch.Tensor]] = [
            part.reshape(shape.shape) for part, shape in
            zip(flat.split([shape.numel() for shape in like] + [len(there)]), like)]
        # Asking a GPU stops its queue, so only about what is missing here.
        return [None if tensor is None and not flat[at - len(there)] else value
                for at, (tensor, value) in enumerate(zip(tensors, found))]

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """As if the batch had been one: exact for losses that are means over samples."""
        if self.size == 1:
            return
        for parameter, mean in zip(parameters, self.mean([p.grad for p in parameters],
                                                         parameters)):
            if mean is not None:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad.copy_(mean)

    @torch.no_grad()
    def average_buffers(self, module: nn.Module) -> None:
        """Running statistics of normalisations, each rank's of its share."""
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        if self.size > 1 and buffers:
            for buffer, mean in zip(buffers, self.mean(buffers, buffers)):
                if mean is not None:
                    buffer.copy_(mean)


def _first(told: Sequence[Tuple[int, str]]) -> Exception:
    """What ends the candidate where it is not this rank's own fault."""
    for rank, (state, text) in enumerate(told):
        if state == _OVER:
            return (CandidateOver(text) if rank == 0 else
                    RankLost(f'rank {rank} of this worker has ended: {text}'))
    return CandidateFailed(next(text for state, text in told if state == _FAILED))


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """
    Raises:
        RankLost: another rank is dead.
    """
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RankLost(f'another rank of this worker has ended ({reason})') from None

"""Where a network says its logits."""
import pytest
import torch
from mmpretrain.models.heads import ArcFaceClsHead, LinearClsHead
from torch import nn

from autokd_mm.zoo.listening import listen
from autokd_mm.zoo.logits import logits_of


class Net(nn.Module):

    def __init__(self, head):
        super().__init__()
        self.backbone, self.head = nn.Flatten(), head

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.head((self.backbone(inputs), ))


@pytest.mark.parametrize('head, found', [
    (LinearClsHead(num_classes=3, in_channels=12), 'head.fc'),
    # In training it adds a margin to the label's: the record of a loss is no logits.
    (ArcFaceClsHead(num_classes=3, in_channels=12), None)])
def test_the_innermost_module_that_says_them(head, found):
    assert logits_of(listen(Net(head), torch.randn(2, 3, 2, 2))) == found


class Maps(nn.Module):
    """A head whose last step is no module, as that of Segmenter."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, inputs, data_samples=None, mode='tensor'):
        rows = self.norm(inputs.flatten(2).transpose(1, 2))
        return rows.transpose(1, 2).reshape(len(inputs), -1, *inputs.shape[2:]).contiguous()


def test_maps_that_a_module_says_as_tokens():
    assert logits_of(listen(Maps(nn.LayerNorm(5)), torch.randn(2, 5, 4, 6))) == 'norm'
    other = Maps(nn.LayerNorm(5))
    other.forward = lambda *args, **kwargs: 2 * Maps.forward(other, *args, **kwargs)
    assert logits_of(listen(other, torch.randn(2, 5, 4, 6))) is None

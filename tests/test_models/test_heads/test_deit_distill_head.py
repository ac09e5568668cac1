import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import DeiTClsHead
from mmpretrain.structures import DataSample

from autokd_mm.registry import MODELS


@pytest.fixture
def head():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = MODELS.build(dict(type='mmrazor.DeiTDistillHead', num_classes=5, in_channels=8))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


TOKENS = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1))
FEATS = ([TOKENS[0], TOKENS[1]], )
SAMPLES = [DataSample().set_gt_label(label) for label in (0, 3, 1, 4)]


def test_labels_train_the_class_token_only(head):
    losses = head.loss(FEATS, SAMPLES)
    wanted = torch.nn.functional.cross_entropy(head.layers.head(TOKENS[0]),
                                               torch.tensor([0, 3, 1, 4]))
    torch.testing.assert_close(losses['loss'], wanted)
    losses['loss'].backward()
    assert head.layers.head.weight.grad.abs().sum() > 0
    assert head.layers.head_dist.weight.grad is None


def test_several_processes_wait_for_a_gradient(head, monkeypatch):
    from autokd_mm.models.heads import deit_distill_head
    alone = head.loss(FEATS, SAMPLES)['loss']
    monkeypatch.setattr(deit_distill_head, 'get_world_size', lambda: 2)
    loss = head.loss(FEATS, SAMPLES)['loss']
    assert torch.equal(loss, alone)
    loss.backward()
    assert not head.layers.head_dist.weight.grad.any()


def test_the_distillation_token_is_heard_while_the_loss_is_computed(head):
    heard = {}
    head.layers.head_dist.register_forward_hook(lambda m, i, out: heard.update(dist=out))
    head.scores.register_forward_hook(lambda m, i, out: heard.update(scores=out))
    head.loss(FEATS, SAMPLES)
    torch.testing.assert_close(heard['dist'], head.layers.head_dist(TOKENS[1]))
    torch.testing.assert_close(heard['scores'], head.eval()(FEATS))


def test_predictions_and_weights_are_mmpretrains(head):
    own = DeiTClsHead(num_classes=5, in_channels=8)
    own.load_state_dict(head.state_dict(), strict=True)
    torch.testing.assert_close(head(FEATS), own.eval()(FEATS))


def test_a_correlation_of_the_untrained_logits_has_a_gradient():
    """With MMPretrain's zeros DIST is stuck for good: no label ever moves ``head_dist``."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = MODELS.build(dict(type='mmrazor.DeiTDistillHead', num_classes=5, in_channels=8))
    torch.manual_seed(0)
    head.init_weights()
    teacher = torch.randn(4, 5)
    loss = 1 - torch.nn.functional.cosine_similarity(
        head.layers.head_dist(TOKENS[1]), teacher, dim=1).mean()
    loss.backward()
    assert head.layers.head_dist.weight.grad.abs().sum() > 0
    assert 0.01 < head.layers.head.weight.std() < 0.03 and not head.layers.head.bias.any()

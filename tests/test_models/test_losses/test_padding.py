"""What is padding in a batch does not count: against each image alone, in float64."""
import itertools

import pytest
import torch
from mmengine.structures import InstanceData

from autokd_mm.errors import ConfigError, DegenerateBatchWarning
from autokd_mm.models.distillers import clear_records, show_samples
from autokd_mm.models.distillers.regions import batch_sizes
from autokd_mm.models.losses import FeatureLoss, LogitsLoss
from autokd_mm.models.transforms import BatchBoxes
from autokd_mm.models.transforms.padding import BatchSizes, cells_of, put_together
from autokd_mm.registry import MODELS

# Two images of one size between others; maps of stride 4.
IMAGES, BATCH = ((32, 40), (24, 36), (32, 40), (30, 17)), (32, 40)
CELLS = ((8, 10), (6, 9), (8, 10), (8, 5))
SIZES = BatchSizes(IMAGES, BATCH)
PER_IMAGE = [
    dict(distance='l2'), dict(distance='cosine'), dict(distance='pearson'),
    dict(distance='kl', temperature=2), dict(distance='kl', inter='channel'),
    dict(distance='gram_l2', inter='channel'),
    dict(transform='spatial_attention'), dict(transform='channel_attention', distance='cosine'),
    dict(transform='attention_mask'), dict(intra='multi_scale'),
    dict(intra='local', distance='cosine'), dict(intra='local', distance='local_correlation'),
    dict(transform='attention_mask', intra='multi_scale', distance='kl', inter='channel'),
    dict(region='foreground_background'),
    dict(region='foreground_background', intra='multi_scale', inter='channel',
         distance='gram_l2'),
    dict(region='foreground_background', transform='teacher_attention_mask'),
]


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 5, 8, 10, generator=generator, dtype=torch.float64) for _ in range(2)]


def boxes():
    made = tuple(torch.tensor([[1., 1, 9, 12], [4, 6, 16, 20]]) for _ in IMAGES)
    return BatchBoxes(made, IMAGES, BATCH)


def shown(loss, sizes=SIZES, places=None):
    """The loss with what it must see of a batch, or of one image of it without padding."""
    loss.show_sizes(sizes)
    if loss.region is not None:
        found = boxes()
        if places is not None:
            image = (CELLS[places][0] * 4, CELLS[places][1] * 4)
            found = BatchBoxes((found.boxes[places], ), (IMAGES[places], ), image)
        loss.region.show(found)
    return loss


@pytest.mark.parametrize('options', PER_IMAGE, ids=str)
def test_the_mean_over_images_alone(options, maps):
    """Exactly so for what knows nothing of other samples; gradients too, 0 in the padding."""
    student, teacher = maps
    student.requires_grad_()
    loss = shown(FeatureLoss(**options))(student, teacher)
    gradient, = torch.autograd.grad(loss, student)
    alone = [shown(FeatureLoss(**options), None, i)(student[i:i + 1, :, :rows, :columns],
                                                    teacher[i:i + 1, :, :rows, :columns])
             for i, (rows, columns) in enumerate(CELLS)]
    expected = sum(alone) / 4
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert torch.allclose(gradient, torch.autograd.grad(expected, student)[0], atol=1e-12)
    for i, (rows, columns) in enumerate(CELLS):
        assert not gradient[i, :, rows:].any() and not gradient[i, :, :, columns:].any()
        assert gradient[i, :, :rows, :columns].any()


ALL = [dict(inter=inter, distance=distance, intra=intra)
       for inter, distance, intra in itertools.product(
           ('none', 'sample', 'channel'),
           ('l2', 'pearson', 'kl', 'gram_l2', 'rkd_distance', 'rkd_angle', 'correlation'),
           ('none', 'multi_scale', 'local'))
       if not (distance == 'gram_l2' and inter == 'none'
               or distance in ('rkd_distance', 'rkd_angle', 'correlation') and inter != 'sample')]


@pytest.mark.parametrize('options', PER_IMAGE + ALL + [dict(region='instances')], ids=str)
def test_what_lies_in_the_padding_does_not_matter(options, maps):
    student, teacher = maps
    other = [feature.clone() for feature in maps]
    for feature in other:
        for i, (rows, columns) in enumerate(CELLS):
            feature[i, :, rows:], feature[i, :, :, columns:] = 1e3, -1e3
    values = [shown(FeatureLoss(**options))(*pair).item() for pair in (maps, other)]
    assert values[0] == pytest.approx(values[1], rel=1e-12) and values[0] > 0
    if 'region' not in options:
        assert FeatureLoss(**options)(*other).item() != pytest.approx(values[0], rel=1e-3)


@pytest.mark.parametrize('options', PER_IMAGE + ALL, ids=str)
def test_without_padding_nothing_changes(options, maps):
    """Also where only pixels are padded and every cell holds some of its image."""
    full = BatchSizes(((29, 38), (32, 40), (30, 37), (29, 40)), BATCH)
    loss = FeatureLoss(**options)
    assert torch.equal(shown(loss, full)(*maps), shown(loss, None)(*maps))


def test_relations_of_samples_in_zeros(maps):
    """Similarities of images of any size: products over the cells that both have."""
    masked = [feature.clone() for feature in maps]
    for feature in masked:
        for i, (rows, columns) in enumerate(CELLS):
            feature[i, :, rows:], feature[i, :, :, columns:] = 0, 0
    options = dict(inter='sample', distance='gram_l2')
    assert torch.allclose(shown(FeatureLoss(**options))(*maps), FeatureLoss(**options)(*masked))


def test_channels_over_images_of_one_size(maps):
    """The vectors of PKD run over the samples of a size: two here, and one of each other."""
    loss = FeatureLoss(inter='channel', distance='pearson')
    groups = [([0, 2], CELLS[0]), ([1], CELLS[1]), ([3], CELLS[3])]
    alone = [len(places) * FeatureLoss(inter='channel', distance='pearson')(
        *(feature[places][:, :, :cells[0], :cells[1]] for feature in maps))
        for places, cells in groups]
    assert torch.allclose(shown(loss)(*maps), sum(alone) / 4)


def test_random_mask_draws_as_many_numbers_as_there_are_cells(maps):
    loss = shown(FeatureLoss(transform='random_mask', channels=5))
    student = maps[0].float().requires_grad_()
    loss(student, maps[1].float()).backward()
    assert student.grad[1, :, :6, :9].any() and not student.grad[1, :, 6:].any()
    assert all(parameter.grad.any() for parameter in loss.parameters())


def test_images_that_are_too_small_are_left_out(maps):
    """A 4 x 4 grid needs four rows; without any such image there is nothing left to say."""
    sizes = BatchSizes(((32, 40), (8, 40), (32, 40), (8, 40)), BATCH)
    loss = FeatureLoss(intra='local', patch_grid=4, distance='cosine')
    with pytest.raises(ConfigError, match='patch_grid is 4, larger than the 2 x 10 map'):
        shown(loss, BatchSizes(((8, 40), ) * 4, BATCH))(*maps)
    loss.forget_sizes()
    expected = loss(*(feature[[0, 2]] for feature in maps))
    assert torch.allclose(shown(loss, sizes)(*maps), expected)
    # Once it has said something, a batch of small images does not end a training.
    with pytest.warns(DegenerateBatchWarning, match='larger than the 2 x 10 map: the loss of such'):
        student = maps[0].clone().requires_grad_()
        nothing = shown(loss, BatchSizes(((8, 40), ) * 4, BATCH))(student, maps[1])
    assert float(nothing.detach()) == 0 and nothing.requires_grad
    with pytest.raises(ValueError, match='sizes of 4 images were shown'):
        shown(loss)(maps[0][:2], maps[1][:2])


@pytest.mark.parametrize('distance', ['kl', 'pearson_inter', 'pearson_intra', 'pearson_both'])
def test_logits_of_positions_in_the_images(distance, maps):
    loss = LogitsLoss(distance, temperature=2)
    loss.show_sizes(SIZES)
    folded = [torch.cat([feature[i, :, :rows, :columns].flatten(1).t()
                         for i, (rows, columns) in enumerate(CELLS)]) for feature in maps]
    assert torch.allclose(loss(*maps), LogitsLoss(distance, temperature=2)(*folded))
    loss.show_sizes(BatchSizes((BATCH, ) * 4, BATCH))
    assert torch.equal(loss(*maps), LogitsLoss(distance, temperature=2)(*maps))


# ---------------------------------------------------------------------- what the samples say
def detection(height, width, **meta):
    from mmdet.structures import DetDataSample
    sample = DetDataSample(metainfo=dict(img_shape=(height, width), **meta))
    sample.gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return sample


def test_sizes_of_a_preprocessed_batch():
    from mmdet.models import DetDataPreprocessor
    samples = [detection(20, 30), detection(32, 17)]
    data = DetDataPreprocessor(pad_size_divisor=16)(dict(
        inputs=[torch.zeros(3, 20, 30), torch.zeros(3, 32, 17)], data_samples=samples), True)
    assert batch_sizes(data['data_samples'], data['inputs']) == BatchSizes(
        ((20, 30), (32, 17)), (32, 32))
    one = [detection(32, 32, batch_input_shape=(32, 32))]
    assert batch_sizes(one, torch.zeros(1, 3, 32, 32)) is None
    assert batch_sizes(None, data['inputs']) is batch_sizes([], data['inputs']) is None


def test_sizes_of_a_batch_for_segmentation():
    from mmengine.structures import PixelData
    from mmseg.models import SegDataPreProcessor
    from mmseg.structures import SegDataSample
    samples = []
    for height, width in ((20, 30), (32, 17)):
        samples.append(SegDataSample(metainfo=dict(img_shape=(height, width))))
        samples[-1].gt_sem_seg = PixelData(data=torch.zeros(1, height, width).long())
    data = SegDataPreProcessor(size=(32, 32))(dict(
        inputs=[torch.zeros(3, 20, 30), torch.zeros(3, 32, 17)], data_samples=samples), True)
    assert batch_sizes(data['data_samples'], data['inputs']) == BatchSizes(
        ((20, 30), (32, 17)), (32, 32))


def test_a_shape_before_a_resize_is_no_padding():
    """Pipelines of classification leave the shape of the file in the sample."""
    from mmpretrain.structures import DataSample
    samples = [DataSample(metainfo=dict(img_shape=(16, 16)))] * 2
    assert batch_sizes(samples, torch.zeros(2, 3, 32, 32)) is None


def test_losses_are_shown_the_sizes_and_forget_them():
    distiller = MODELS.build(dict(
        type='mmrazor.ConfigurableDistiller',
        distill_losses=dict(loss_feature=dict(type='mmrazor.FeatureLoss'),
                            loss_logits=dict(type='mmrazor.LogitsLoss'),
                            loss_other=dict(type='mmrazor.L2Loss'))))
    samples = [detection(20, 30, batch_input_shape=(32, 32)),
               detection(32, 17, batch_input_shape=(32, 32))]
    show_samples(distiller, samples, torch.zeros(2, 3, 32, 32))
    losses = distiller.distill_losses
    assert losses.loss_feature.sizes == losses.loss_logits.sizes == BatchSizes(
        ((20, 30), (32, 17)), (32, 32))
    show_samples(distiller, samples[:1], torch.zeros(1, 3, 20, 30))
    assert losses.loss_feature.sizes is None
    show_samples(distiller, samples, torch.zeros(2, 3, 32, 32))
    clear_records(distiller)
    assert losses.loss_feature.sizes is None and losses.loss_logits.sizes is None


def test_cells():
    assert cells_of((20, 30), (32, 32), (4, 4)) == (3, 4)
    assert cells_of((1, 32), (32, 32), (1, 1)) == (1, 1)
    parts = [torch.ones(2, 1, 2, 3), 2 * torch.ones(1, 1, 3, 1)]
    whole = put_together(parts, [([2, 0], (2, 3)), ([1], (3, 1))])
    assert whole.shape == (3, 1, 3, 3) and whole.sum((1, 2, 3)).tolist() == [6, 6, 6]


def test_three_sizes_interleaved_come_back_in_the_order_of_the_batch():
    """The order of the groups, (3, 0, 4, 1, 2), is not its own inverse."""
    groups = [([3, 0], (1, 2)), ([4, 1], (2, 1)), ([2], (2, 2))]
    parts = [torch.stack([torch.full((1, *size), 1.0 + place) for place in places])
             for places, size in groups]
    whole = put_together(parts, groups)
    assert whole[:, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert whole[:, 0, 0, 1].tolist() == [1, 0, 3, 4, 0]
    assert whole[:, 0, 1, 0].tolist() == [0, 2, 3, 0, 5]


@pytest.mark.parametrize('distance', ['kl', 'pearson_both'])
def test_vectors_have_no_padding(distance):
    """Logits of more boxes than there are images, and of as many."""
    for rows in (7, 4):
        student, teacher = torch.randn(2, rows, 5)
        plain, seeing = LogitsLoss(distance), LogitsLoss(distance)
        seeing.show_sizes(SIZES)
        assert torch.equal(seeing(student, teacher), plain(student, teacher))


def test_a_last_cell_that_reaches_beyond_the_batch():
    """Stride 128 in a batch of 800 pixels: the image has as many rows as it has alone."""
    sizes = BatchSizes(((800, 1024), (700, 640)), (800, 1024))
    assert sizes.groups(torch.zeros(2, 1, 7, 8)) == [([0], (7, 8)), ([1], (6, 5))]
    assert sizes.groups(torch.zeros(2, 1, 13, 16)) == [([0], (13, 16)), ([1], (11, 10))]
    assert sizes.groups(torch.zeros(2, 1, 5, 8))[1] == ([1], (5, 5))  # no stride

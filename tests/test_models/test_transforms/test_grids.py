"""Averages over the same pixels, against maps that are blown up to pixels and pooled."""
import pytest
import torch
import torch.nn.functional as F

from autokd_mm.models.transforms.grids import averaged, covered, stride_of


def by_pixels(feature, strides, image):
    """1 x C x h x w: each pixel of the image has the value of its cell; then means over squares
    that end with the image."""
    fine, coarse = strides
    pixels = feature.repeat_interleave(fine, 2).repeat_interleave(fine, 3)
    pixels = pixels[:, :, :image[0], :image[1]]
    return F.avg_pool2d(pixels, coarse, ceil_mode=True)


@pytest.mark.parametrize('strides', [(8, 16), (4, 32), (14, 16), (16, 24), (3, 7), (8, 8)])
@pytest.mark.parametrize('image', [(224, 112), (100, 67), (5, 50)])
def test_the_mean_over_the_same_pixels(strides, image):
    rng = torch.Generator().manual_seed(0)
    cells = [-(-side // strides[0]) for side in image]
    feature = torch.randn(2, 3, *cells, generator=rng, dtype=torch.float64)
    found = averaged(feature, strides, [image] * 2, image)
    torch.testing.assert_close(found, by_pixels(feature, strides, image))
    if image == (224, 112) and strides == (8, 16):
        torch.testing.assert_close(averaged(feature, strides), F.avg_pool2d(feature, 2))


def test_an_image_in_a_padded_batch_has_the_values_that_it_has_alone():
    images, batch, strides = [(64, 96), (40, 56), (33, 70)], (64, 96), (8, 32)
    rng = torch.Generator().manual_seed(0)
    feature = torch.randn(3, 4, 8, 12, generator=rng, dtype=torch.float64)
    found = averaged(feature, strides, images, batch)
    assert found.shape == (3, 4, 2, 3)
    for number, image in enumerate(images):
        rows, columns = (-(-side // 8) for side in image)
        alone = averaged(feature[number:number + 1, :, :rows, :columns], strides, [image], image)
        rows, columns = alone.shape[2:]
        torch.testing.assert_close(found[number:number + 1, :, :rows, :columns], alone)
        assert not found[number, :, rows:].any() and not found[number, :, :, columns:].any()
    padding = feature.clone()
    padding[1, :, 5:] = padding[1, :, :, 7:] = 1e6
    assert torch.equal(averaged(padding, strides, images, batch), found)


def test_half_precision_and_gradients():
    feature = torch.full((1, 2, 4, 4), 3.0, dtype=torch.float16, requires_grad=True)
    found = averaged(feature, (4, 8), [(16, 12)], (16, 16))
    assert found.dtype == torch.float32 and (found == 3).all()
    found.sum().backward()
    assert (feature.grad[..., :2] == 0.25).all()
    assert (feature.grad[..., 2] == 0.5).all() and not feature.grad[..., 3].any()


@pytest.mark.parametrize('cells, image, stride', [
    ((8, 12), (64, 96), 8), ((7, 9), (800, 1088), 128), ((13, 17), (800, 1088), 64),
    ((19, 19), (256, 256), 14), ((1, 1), (50, 40), 64), ((1, 1), (64, 64), 64),
    ((1, 1), (64, 32), 64), ((3, 5), (9, 30), None), ((8, 4), (16, 16), None)])
def test_the_stride_of_a_map(cells, image, stride):
    assert stride_of(cells, image) == stride


@pytest.mark.parametrize('side, stride', [(480, 64), (288, 128), (96, 64), (192, 128), (416, 128),
                                          (800, 64), (1333, 128), (224, 16)])
def test_the_strides_of_pyramids_are_powers_of_two(side, stride):
    """Where 8 cells of 60 pixels are 480, too, it is the 64 of a feature pyramid."""
    cells = -(-side // stride)
    assert stride_of((cells, cells), (side, side)) == stride
    assert covered((cells, cells), (side, side)) == (cells * stride, cells * stride)


def test_patches_of_other_sizes():
    assert stride_of((16, 16), (224, 224)) == 14 and covered((16, 16), (224, 224)) == (224, 224)
    assert stride_of((3, 7), (10, 11)) is None and covered((3, 7), (10, 11)) == (10, 11)

"""Tensors of two networks that belong together."""
from autokd_mm.layers.strides import pair_by_stride


def test_levels_of_equal_stride_are_pairs():
    assert pair_by_stride([8, 16, 32], [8, 16, 32, 64, 128]) == [(0, 0), (1, 1), (2, 2)]
    assert pair_by_stride([4, 8, 16, 32], [8, 16, 32]) == [(1, 0), (2, 1), (3, 2)]
    assert pair_by_stride([(4, 6), (2, 3)], [(2, 3), (4, 6)]) == [(0, 1), (1, 0)]
    assert pair_by_stride([8], [16]) == [] == pair_by_stride([], [8])


def test_several_of_one_stride_are_taken_in_order():
    assert pair_by_stride([16, 16, 32], [16, 32, 32]) == [(0, 0), (2, 1)]
    assert pair_by_stride([(1, 1)], [(2, 2), (1, 1), (1, 1)]) == [(0, 1)]

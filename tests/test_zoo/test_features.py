"""Which maps of two networks are compared."""
import torch
from torch import nn

from autokd_mm.zoo import features
from autokd_mm.zoo.listening import Map, listen, maps_of
from autokd_mm.zoo.logits import logits_of


def maps(*strides):
    return [Map(f'neck[{at}]', 8, stride, None) for at, stride in enumerate(strides)]


def sources(pairs):
    return [[one.source for one in side] for side in pairs]


def test_levels_of_equal_stride():
    assert sources(features.by_stride(maps(8, 16, 32), maps(4, 8, 16))) == [
        ['neck[0]', 'neck[1]'], ['neck[1]', 'neck[2]']]
    assert features.by_stride(maps(8, 16), maps(32)) == ([], [])
    assert features.by_stride([], []) == ([], [])


def test_stages_that_begin_alike_are_compared_one_by_one():
    dilated, usual = maps(4, 8, 8, 8), maps(4, 8, 16, 32)
    assert features.by_stride(dilated, usual) == (dilated, usual)
    # Of another number of maps the last one of a stride counts.
    assert sources(features.by_stride(dilated, maps(4, 8))) == [
        ['neck[0]', 'neck[3]'], ['neck[0]', 'neck[1]']]


def test_the_nearest_stride():
    assert sources(features.nearest(maps(8, 16, 32), maps(14))) == [['neck[1]'], ['neck[0]']]
    assert sources(features.nearest(maps(8, 8), maps(16))) == [['neck[1]'], ['neck[0]']]
    assert features.nearest([], maps(8)) == ([], [])
    # Of a transformer's blocks, which have one stride, the deepest.
    assert sources(features.nearest(maps(8, 16), maps(14, 14, 14))) == [['neck[1]'], ['neck[2]']]


class Stage(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.ReLU())


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1, self.layer2 = Stage(3, 4), Stage(4, 8)

    def forward(self, x):
        first = self.layer1(x)
        return first, self.layer2(first)


class Pyramid(nn.Module):
    """A level more, every second cell of the last."""

    def forward(self, x):
        return (*x, x[-1][..., ::2, ::2])


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fuse, self.drop, self.conv_seg = Stage(8, 6), nn.Dropout2d(0.5), nn.Conv2d(6, 5, 1)

    def forward(self, x):
        return self.conv_seg(self.drop(self.fuse(x)))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.neck, self.head = Backbone(), Pyramid(), Head()

    def forward(self, inputs, samples=None, mode='tensor'):
        return self.head(self.neck(self.backbone(inputs))[1])


def test_what_a_network_says_of_an_image():
    heard = listen(Network(), torch.rand(1, 3, 32, 64), [], dense=True)
    assert heard.error is None
    found = maps_of(heard, 'backbone')
    assert [one[:3] for one in found] == [('backbone[0]', 4, 2), ('backbone[1]', 8, 4)]
    assert [one.stride for one in maps_of(heard, 'neck')] == [2, 4, 8]
    # A level that is every second cell of another one says nothing more.
    assert [one.stride for one in features.levels(heard)] == [2, 4]
    assert logits_of(heard) == 'head.conv_seg'
    # The dropout in front of the last layer is no feature.
    assert [one.source for one in features.scored(heard)] == ['head.fuse']
    assert [one.source for one in features.last_stage(heard)] == ['backbone.layer2']
    assert [one.source for one in features.stages(heard)] == ['backbone.layer1', 'backbone.layer2']


def test_a_head_that_scores_within_its_own_block():
    """As PIDNet's: no block returns what is scored, the activation in front of it does."""

    class Tower(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(8, 6, 3, 1, 1), nn.ReLU(inplace=True)

        def forward(self, x, score):
            return score(self.act(self.conv(x)))

    class Within(nn.Module):
        def __init__(self):
            super().__init__()
            self.tower, self.drop, self.conv_seg = Tower(), nn.Dropout2d(), nn.Conv2d(6, 5, 1)

        def forward(self, x):
            return self.tower(x, lambda one: self.conv_seg(self.drop(one)))

    network = Network()
    network.head = Within()
    heard = listen(network, torch.rand(1, 3, 32, 64), [], dense=True)
    assert [one.source for one in features.scored(heard)] == ['head.tower.act']


def test_a_network_that_fails_behind_its_backbone_is_still_heard():
    network = Network()
    network.head = None
    heard = listen(network, torch.rand(1, 3, 32, 32))
    assert isinstance(heard.error, TypeError) and len(maps_of(heard, 'neck')) == 3
    assert logits_of(heard) is None and features.scored(heard) == []


def test_tokens_with_their_grids_behind_them():
    """As the stages of MMDetection's Swin transformer return them, twice."""

    class Stage(nn.Module):

        def forward(self, image):
            rows, columns = image.shape[2] // 8, image.shape[3] // 8
            tokens = torch.rand(len(image), rows * columns, 6)
            return tokens[:, ::4], (rows // 2, columns // 2), tokens, (rows, columns)

    class Network(nn.Module):

        def __init__(self):
            super().__init__()
            self.stage = Stage()

        def forward(self, image, samples=None, mode='tensor'):
            return self.stage(image)[2]

    heard = listen(Network(), torch.rand(1, 3, 32, 64), [], dense=True)
    assert [(one.source, one.channels, one.stride) for one in maps_of(heard, 'stage')] == [
        ('stage[0]', 6, 16), ('stage[2]', 6, 8)]


class Branches(nn.Module):
    """As HRNet: a transition gives one map, and stages behind it lists of maps."""

    def __init__(self):
        super().__init__()
        self.transition, self.fine, self.coarse = Stage(3, 4), nn.Conv2d(4, 4, 1), Stage(4, 8)
        self.last = nn.ModuleList([nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()),
                                   nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())])

    def forward(self, x):
        fine = self.fine(self.transition(x))
        return self.last[0](fine), self.last[1](self.coarse(fine))


class NoMaps(nn.Module):
    """As Conformer: what it returns is pooled; its blocks say a map and tokens."""

    class Block(nn.Module):

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            found = self.conv(x)
            return found, found.mean((2, 3))

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = Stage(3, 4), self.Block(), self.Block()

    def forward(self, x):
        return self.second(self.first(self.stem(x))[0])[1]


class Whole(nn.Module):

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.backbone(inputs)


def last_stage_of(backbone):
    torch.manual_seed(0)
    heard = listen(Whole(backbone).eval(), torch.rand(2, 3, 16, 16))
    return [one.source for one in features.last_stage(heard)]


def test_the_last_stage_is_what_nothing_comes_behind():
    assert last_stage_of(Backbone()) == ['backbone.layer2']
    assert last_stage_of(Branches()) == ['backbone.last.1']
    hidden = Branches()
    hidden.last[1].forward = lambda x: [nn.Sequential.forward(hidden.last[1], x)]
    hidden.forward = lambda x: (lambda fine: (hidden.last[0](fine), hidden.last[1](
        hidden.coarse(fine))[0]))(hidden.fine(hidden.transition(x)))
    # Its last block says a list; the stage before is not the last one.
    assert last_stage_of(hidden) == ['backbone[1]']


def test_the_last_stage_of_a_backbone_that_returns_no_map():
    assert last_stage_of(NoMaps()) == ['backbone.second[0]']

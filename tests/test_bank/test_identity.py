import numpy as np
import torch
from torch import nn

from autokd_mm.bank.identity import arrays_digest, describe_pipeline, weights_digest


def test_weights_are_known_by_name_and_value():
    torch.manual_seed(0)
    one = nn.Linear(3, 2)
    digest = weights_digest(one.state_dict())
    assert digest == weights_digest(dict(one.named_parameters()))
    assert digest == weights_digest(dict(reversed(list(one.state_dict().items()))))
    assert digest != weights_digest({f'a.{name}': value for name, value in
                                     one.state_dict().items()})
    one.bias.data[1] = torch.nextafter(one.bias.data[1], torch.tensor(9.))
    assert digest != weights_digest(one.state_dict())


def test_arrays_digest():
    rows = np.arange(6)
    assert arrays_digest([rows[:2], rows[2:]]) == arrays_digest([rows])
    assert arrays_digest([rows]) != arrays_digest([rows[::-1]])
    assert arrays_digest([rows[::2]]) == arrays_digest([np.array([0, 2, 4])])


class Step:
    """No repr of its own."""


def test_pipeline_in_words_below_wrappers():
    inner = type('Images', (), dict(pipeline=type('Compose', (), dict(transforms=[Step(), 1]))()))()
    outer = type('Repeated', (), dict(dataset=inner))()
    assert describe_pipeline(outer) == describe_pipeline(inner)
    assert describe_pipeline(inner).endswith('Step object> 1')
    assert describe_pipeline(object()) == ''
    own = type('Mixed', (), dict(dataset=outer, pipeline=type('Compose', (), dict(
        transforms=[2]))()))()
    assert describe_pipeline(own) == '2'

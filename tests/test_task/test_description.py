"""What a study remembers of its task."""
import pytest
from mmengine.config import Config

from autokd_mm.proxy.settings import ProxySettings
from autokd_mm.space import DistillerSpace
from autokd_mm.task.description import describe

SLIDE = dict(test_cfg=dict(mode='slide'))
CORNERS = dict(decode_head=dict(align_corners=True))


@pytest.mark.parametrize('segmentor, logits, anew', [
    (SLIDE, 'decode_head.conv_seg', True), (CORNERS, 'decode_head.conv_seg', True),
    (dict(decode_head=[dict(align_corners=False), dict(align_corners=True)]), 'x', True),
    (dict(decode_head=[dict(align_corners=True), dict(align_corners=False)]), 'x', False),
    (dict(test_cfg=dict(mode='whole'), decode_head=dict(align_corners=False)), 'x', False),
    (dict(decode_head=[{}, {}]), 'decode_head.0.conv_seg', True),
    (dict(decode_head=[{}, {}]), ['decode_head.0.conv_seg', 'decode_head.1.conv_seg'], True),
    (dict(decode_head=[{}, {}]), ['decode_head.1.conv_seg', 'decode_head.0.conv_seg'], False),
    (dict(decode_head=dict(type='IterativeDecodeHead')),
     'decode_head.kernel_generate_head.conv_seg', True),
    (SLIDE, None, False), (CORNERS, None, False),
    (dict(head=dict(num_classes=3)), 'head.fc', False)])
def test_a_search_whose_mean_iou_was_another_number_is_not_taken_up(segmentor, logits, anew):
    """Others are as they were stored."""
    config = Config(dict(model=dict(architecture=segmentor), optim_wrapper=dict(type='SGD')))
    found = describe(DistillerSpace(), dict(student='x', student_logits=logits), ProxySettings(),
                     config, [1.0])
    assert ('metric' in found) == anew

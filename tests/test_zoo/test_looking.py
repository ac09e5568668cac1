"""What both networks of a pair say, and on which image they are heard."""
from pathlib import Path

VANILLA = Path(__file__).resolve().parents[2] / 'configs' / 'vanilla'


def test_a_neck_that_needs_larger_images(pair):
    """SSD's last levels are nothing of the small image that pairs are tried with first."""
    found, config = pair('ssd512_coco', 'ssd300_coco')
    assert config.train_cfg.layers.student[0] == 'neck[0]' and found.choice.why[0].startswith(
        'features: the levels of the neck')


def test_a_head_that_does_not_come_to_its_end(pair, scenes, monkeypatch):
    from mmseg.models.decode_heads import ASPPHead
    forward = ASPPHead.forward

    def refuse(self, inputs):
        if self.channels > 32:
            raise RuntimeError('not of random pixels')
        return forward(self, inputs)

    monkeypatch.setattr(ASPPHead, 'forward', refuse)
    found, _ = pair(VANILLA / 'digit_scenes_deeplabv3_teacher.py',
                    VANILLA / 'digit_scenes_deeplabv3_student.py', data_root=scenes)
    assert any(line.startswith('logits: none, the teacher did not come to its end on an image of ')
               and line.endswith(': not of random pixels') for line in found.choice.why)
    assert not any('no layer of the' in line for line in found.choice.why)


def test_heads_that_do_not_both_predict_densely_are_no_mistake(pair):
    found, config = pair('cascade-rcnn_r50_fpn_1x_coco', 'faster-rcnn_r50_fpn_1x_coco')
    assert 'student_predictions' not in config.train_cfg.layers
    assert not any('student_predictions' in line for line in found.choice.why)

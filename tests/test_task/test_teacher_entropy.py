"""How sure the teacher is of each image."""
import os

import numpy as np
import pytest
import torch

from autokd_mm.errors import ConfigError
from autokd_mm.task.teacher_entropy import FILE, entropy, remember, remembered, teacher_entropy

INDICES = np.array([7, 300, 4, 999, 12])


@pytest.fixture
def of(parts):
    return lambda indices=INDICES, batch_size=2, **values: teacher_entropy(
        parts.model, 'head.fc', parts.datasets['held_out'], indices, 0, batch_size, **values)


def test_entropy_of_known_predictions():
    logits = torch.tensor([[0.0, 0, 0, 0], [1000, 0, 0, 0], [np.log(3), 0, -1e4, -1e4]])
    expected = [np.log(4), 0, -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))]
    assert entropy(logits).tolist() == pytest.approx(expected, abs=1e-6)


def test_of_the_teachers_prediction_on_the_plain_images(parts, of):
    raw = [parts.datasets['train'].get_data_info(int(i))['img'][..., 0] for i in INDICES]
    parts.teacher.eval()
    expected = []
    for image in raw:
        data = parts.teacher.data_preprocessor(
            dict(inputs=[torch.from_numpy(image)[None]]), False)
        with torch.no_grad():
            share = parts.teacher(data['inputs'], mode='tensor').softmax(1)[0].double()
        expected.append(float(-(share * share.log()).sum()))
    found = of()
    assert found.dtype == np.float32 and found.tolist() == pytest.approx(expected, rel=1e-4)
    assert found.std() > 0


def test_batches_do_not_matter_and_progress_is_told(of):
    told = []
    one = of(batch_size=5, progress=lambda *args: told.append(args))
    assert np.allclose(one, of(batch_size=1), rtol=1e-4)
    assert told == [('entropy of the teacher', 5, 5)]


def test_the_teacher_sees_resized_images(of):
    assert not np.allclose(of(input_size=12), of(), rtol=1e-2)


def test_images_of_different_size(parts):

    class Growing:

        def __getitem__(self, index):
            sample = parts.datasets['held_out'][0]
            return dict(sample, inputs=torch.zeros(1, 8 + index % 2, 8, dtype=torch.uint8))

    with pytest.raises(ConfigError, match='val_pipeline: the images of the proxy differ in size'):
        teacher_entropy(parts.model, 'head.fc', Growing(), INDICES, 0, 5)


def test_teacher_that_is_not_finite(parts, of):
    bias = parts.teacher.head.fc.bias
    before = bias.detach().clone()
    try:
        bias.data[0] = float('nan')
        with pytest.raises(ConfigError, match="teacher_ckpt: the teacher's logits are not finite"):
            of()
    finally:
        bias.data.copy_(before)


def test_remembered_for_the_same_teacher_and_images(tmp_path):
    folder, values = str(tmp_path / 'bank'), np.linspace(0, 1, 5, dtype=np.float32)
    assert remembered(folder, dict(teacher='a'), INDICES) is None
    remember(folder, dict(teacher='a', size=0), INDICES, values)
    assert np.array_equal(remembered(folder, dict(size=0, teacher='a'), INDICES), values)
    assert remembered(folder, dict(teacher='b', size=0), INDICES) is None
    assert remembered(folder, dict(teacher='a', size=0), INDICES[:4]) is None
    assert os.listdir(folder) == [FILE]
    content = (tmp_path / 'bank' / FILE).read_bytes()
    for torn in (content[:len(content) // 2], b''):
        (tmp_path / 'bank' / FILE).write_bytes(torn)
        assert remembered(folder, dict(teacher='a', size=0), INDICES) is None
    remember(None, {}, INDICES, values)
    assert remembered(None, {}, INDICES) is None


def test_search_resumes_with_the_same_images(search, study_of):
    """Also where the teacher would be judged otherwise now: what was decided stays."""
    options = ('--cfg-options', 'train_cfg.proxy.select=teacher_entropy',
               'train_cfg.final_round=None')
    work = search('--trials', '1', *options)
    file = work / 'bank' / FILE
    with np.load(str(file), allow_pickle=False) as found:
        kept = {name: found[name] for name in found.files}
    assert len(kept['indices']) == 640 and np.isfinite(kept['entropy']).all()
    written = file.stat().st_mtime_ns
    assert search('--trials', '2', '--resume', *options) == work
    assert file.stat().st_mtime_ns == written
    assert len(study_of(work).trials) >= 2
    # The banks hold the images that these entropies choose: other entropies, other images.
    np.savez(str(file), **dict(kept, entropy=kept['entropy'][::-1]))
    with pytest.raises(search.Ended, match='bank/train was written for .*images: '):
        search('--trials', '3', '--resume', *options)

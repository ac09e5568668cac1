import os

import pytest

from autokd_mm.engine.config import check_file, check_writable, in_new_style, load_config
from autokd_mm.errors import ConfigError
from autokd_mm.report.export import beside

TEXT = '''
data_root = 'data/cifar10'
teacher_ckpt = {teacher!r}
dataset = dict(type='A', data_root=data_root, ann_file='data/cifar10/ann.txt',
               files=['data/cifar10', 'data/cifar100/x', 'other'],
               nested=[dict(data_root=data_root)], pair=(dict(data_root=data_root), 1))
train_dataloader = dict(batch_size=2, dataset=dataset)
val_dataloader = train_dataloader
model = dict(teacher_ckpt=teacher_ckpt, init_cfg=dict(checkpoint=teacher_ckpt), other=None)
'''


@pytest.fixture
def write(tmp_path):

    def write(teacher='old.pth', text=TEXT):
        path = tmp_path / 'config.py'
        path.write_text(text.format(teacher=teacher))
        return str(path)

    return write


@pytest.mark.parametrize('root', ['/new', '/new/', 'data/cifar10/below', 'data', 'data/cifar10'])
def test_data_root_reaches_every_place_once(write, root):
    config = load_config(write(), dict(data_root=root))
    assert config.data_root == root
    for loader in (config.train_dataloader, config.val_dataloader):
        data = loader.dataset
        places = [data.data_root, data.files[0], data.nested[0].data_root, data.pair[0].data_root]
        assert places == [root] * 4
        assert data.ann_file == f'{root.rstrip("/")}/ann.txt'
        assert data.files[1:] == ['data/cifar100/x', 'other']
        assert isinstance(data.pair, tuple)


def test_slash_at_the_end_stays(write):
    text = TEXT.replace("data_root = 'data/cifar10'", "data_root = 'data/cifar10/'")
    config = load_config(write(text=text), dict(data_root='/new'))
    assert config.data_root == config.val_dataloader.dataset.data_root == '/new/'
    assert config.train_dataloader.dataset.ann_file == '/new/ann.txt'


@pytest.mark.parametrize('old, new', [('old.pth', 'new.pth'), (None, 'new.pth'),
                                      ('old.pth', None)])
def test_teacher_ckpt(write, old, new):
    config = load_config(write(old), dict(teacher_ckpt=new))
    assert config.teacher_ckpt == config.model.teacher_ckpt == new
    assert config.model.init_cfg.checkpoint == (new if old else None)
    assert config.model.other is None


@pytest.mark.parametrize('nothing', ['None', 'none', ''])
def test_none_on_the_command_line(write, nothing):
    assert load_config(write(), dict(teacher_ckpt=nothing)).model.teacher_ckpt is None


def test_nested_keys_still_work_and_win(write):
    config = load_config(write(), {'data_root': '/new', 'train_dataloader.batch_size': 7,
                                   'train_dataloader.dataset.data_root': '/special',
                                   'new.key': 1})
    assert config.train_dataloader.batch_size == 7 and config.new.key == 1
    assert config.train_dataloader.dataset.data_root == '/special'
    assert config.val_dataloader.dataset.data_root == '/new'
    assert config.val_dataloader.batch_size == 2


def test_config_without_the_variable_takes_the_option_too(tmp_path, capsys):
    path = tmp_path / 'config.py'
    path.write_text('a = 1\n')
    config = load_config(str(path), dict(data_root='/x', teacher_ckpt='t', a=2))
    assert config.to_dict() == dict(a=2)
    out = ''.join(capsys.readouterr())
    assert '--cfg-options data_root' in out and '--cfg-options teacher_ckpt' in out


@pytest.mark.parametrize('name', ['missing.py', '.', 'config.txt'])
def test_no_config(tmp_path, name):
    (tmp_path / 'config.txt').write_text('a = 1\n')
    with pytest.raises(ConfigError, match='CONFIG: '):
        load_config(str(tmp_path / name))


def test_writable(tmp_path):
    check_writable(str(tmp_path / 'a' / 'b'))
    assert os.listdir(str(tmp_path / 'a' / 'b')) == []


def test_not_writable(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    for path in ('file', 'file/below'):
        with pytest.raises(ConfigError, match='--work-dir: .*file.* cannot be written'):
            check_writable(str(tmp_path / path))

    def read_only(*args, **kwargs):
        raise OSError(30, 'Read-only file system')

    monkeypatch.setattr(os, 'makedirs', read_only)
    with pytest.raises(ConfigError, match='OUT: /x cannot be written .Read-only file system'):
        check_writable('/x', 'OUT')


def test_a_file_is_not_written_over_what_it_is_made_of(tmp_path):
    source = tmp_path / 'c.pth'
    source.write_bytes(b'1')
    (tmp_path / 'link').symlink_to(source)
    (tmp_path / 'folder').mkdir()
    check_file(str(tmp_path / 'new' / 'c.pth'), 'OUT', str(source), None)
    check_file(str(source), 'OUT')
    for name, words in (('c.pth', 'is what it is made of'), ('link', 'is what it is made of'),
                        ('folder', 'is a folder'), ('c.pth/x', 'cannot be written')):
        with pytest.raises(ConfigError, match=f'^OUT: .*{words}'):
            check_file(str(tmp_path / name), 'OUT', str(source))
    assert source.read_bytes() == b'1'


def test_a_key_below_something_that_is_no_dict(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text('train_cfg = dict(final_round=None)')
    with pytest.raises(ConfigError, match='^--cfg-options: .*final_round'):
        load_config(str(path), {'train_cfg.final_round.best': 3})


BASE = '''
data_root = {root!r}
teacher_ckpt = {teacher!r}
dataset = dict(data_root=data_root, ann_file=data_root + 'ann.json', other='data/else/x')
model = dict(teacher_ckpt=teacher_ckpt, other=None)
'''


@pytest.fixture
def chain(tmp_path):
    """Configs that inherit each other, the last one is loaded."""

    def chain(*texts, **options):
        for number, text in enumerate(texts):
            base = f"_base_ = './config{number - 1}.py'\n" if number else ''
            (tmp_path / f'config{number}.py').write_text(base + text)
        return load_config(str(tmp_path / f'config{len(texts) - 1}.py'), options)

    return chain


@pytest.mark.parametrize('teacher', [None, 'base.pth', ['a.pth', 'b.pth']])
@pytest.mark.parametrize('said', [(), ('',), ("teacher_ckpt = 'between.pth'\n", )])
@pytest.mark.parametrize('options', [{}, dict(teacher_ckpt='mine.pth'),
                                     dict(teacher_ckpt='other.pth')])
def test_a_name_at_the_top_of_a_child_reaches_what_its_bases_made(chain, teacher, said, options):
    config = chain(BASE.format(root='data/coco/', teacher=teacher), *said,
                   "teacher_ckpt = 'mine.pth'  # of my own\ndata_root = '/mine'\n", **options)
    wanted = options.get('teacher_ckpt', 'mine.pth')
    assert config.teacher_ckpt == config.model.teacher_ckpt == wanted
    assert config.model.other is None
    assert config.dataset.data_root == '/mine/' and config.dataset.ann_file == '/mine/ann.json'
    assert config.dataset.other == 'data/else/x'


def test_a_folder_of_a_child_below_that_of_its_base_is_replaced_once(chain):
    config = chain(BASE.format(root='data/', teacher=None), "data_root = 'data/mine/'\n")
    assert config.dataset.data_root == 'data/mine/'
    assert config.dataset.ann_file == 'data/mine/ann.json'


def test_what_a_child_says_at_the_place_itself_wins(chain):
    config = chain(BASE.format(root='data/', teacher='base.pth'),
                   "teacher_ckpt = 'top.pth'\nmodel = dict(teacher_ckpt='place.pth')\n")
    assert config.model.teacher_ckpt == 'place.pth'
    assert chain(BASE.format(root='data/', teacher='base.pth')).model.teacher_ckpt == 'base.pth'


def test_a_new_style_config(tmp_path):
    (tmp_path / 'bases').mkdir()
    (tmp_path / 'bases' / 'data.py').write_text(BASE.format(root='data/', teacher=None))
    (tmp_path / 'bases' / 'pair.py').write_text(
        'from mmengine.config import read_base\nwith read_base():\n    from .data import *\n')
    (tmp_path / 'own.py').write_text(
        'from mmengine.config import read_base\nwith read_base():\n    from .bases.pair import *\n'
        "teacher_ckpt = 'mine.pth'\ndata_root = '/mine'\n")
    config = load_config(str(tmp_path / 'own.py'))
    assert config.model.teacher_ckpt == 'mine.pth'
    assert config.dataset.ann_file == '/mine/ann.json'


def test_what_a_new_style_config_imports_is_looked_for_when_it_is_read(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\n')
    path = tmp_path / 'new.py'
    path.write_text('from mmengine.config import read_base\n'
                    'from mmengine.hooks import NoSuchHook\n'
                    'with read_base():\n    from .base import *\n'
                    'hooks = [dict(type=NoSuchHook)]\n')
    with pytest.raises(ConfigError, match='CONFIG: .*NoSuchHook'):
        load_config(str(path))
    assert in_new_style(str(path)) and not in_new_style(str(tmp_path / 'base.py'))
    (tmp_path / 'told.py').write_text('# once with read_base()\na = 1\n')
    assert not in_new_style(str(tmp_path / 'told.py'))


def test_a_folder_whose_name_ends_a_string(tmp_path):
    folder = tmp_path / "Anna's work"
    folder.mkdir()
    path = folder / 'best.py'
    path.write_text("ckpt = '{{ fileDirname }}/teacher.pth'\n")
    with pytest.raises(ConfigError, match='name of its folder has a quotation mark'):
        load_config(str(path))
    path.write_text(f'ckpt = {beside(str(folder / "teacher.pth"), str(folder))!r}\n')
    assert load_config(str(path)).ckpt == str(folder / 'teacher.pth')

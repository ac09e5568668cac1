"""Names of networks and what a metafile says of them."""
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.zoo import names
from autokd_mm.zoo.metafile import checkpoint
from autokd_mm.zoo.names import Source, resolve


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Two packages with three published configs; returns their folders."""
    found = []
    for package, stems in dict(mmdet=['retina_r50', 'retina_r18'], mmseg=['retina_r50']).items():
        folder = tmp_path / package / 'retina'
        folder.mkdir(parents=True)
        (tmp_path / package / '_base_').mkdir()
        (tmp_path / package / '_base_' / 'runtime.py').write_text('')
        for stem in stems:
            (folder / f'{stem}.py').write_text('')
        (folder / 'metafile.yml').write_text(''.join(
            f'{"Models:" * (not number)}\n  - Name: published_{package}_{number}\n'
            f'    Config: configs/retina/{stem}.py\n    Weights: https://zoo/{stem}.pth\n'
            for number, stem in enumerate(stems)))
        found.append((package, str(tmp_path / package)))
    monkeypatch.setattr(names, 'folders', lambda: iter(found))
    return tmp_path


def test_a_file_stem_and_a_published_name(zoo):
    wanted = Source(str(zoo / 'mmdet' / 'retina' / 'retina_r18.py'), 'mmdet',
                    'retina/retina_r18.py')
    assert resolve('retina_r18', 'TEACHER') == wanted
    assert resolve('published_mmdet_1', 'TEACHER') == wanted
    assert resolve(wanted.file, 'TEACHER') == wanted
    assert wanted.as_base('/tmp') == 'mmdet::retina/retina_r18.py' == wanted.as_cfg_path('/tmp')


def test_a_name_of_two_packages_asks_which(zoo):
    with pytest.raises(ConfigError, match=r"^STUDENT: 'retina_r50' is in several places, say which:"
                       r' mmdet::retina/retina_r50.py, mmseg::retina/retina_r50.py$'):
        resolve('retina_r50', 'STUDENT')


def test_an_unknown_name_shows_the_nearest_five(zoo):
    with pytest.raises(ConfigError) as error:
        resolve('retina_r19', 'TEACHER')
    line = str(error.value)
    assert line.startswith("TEACHER: 'retina_r19' is no file and no config of an installed package;"
                           ' the nearest are retina_r18, retina_r50, published_')
    assert len(line.partition(' are ')[2].split(', ')) == 5 and 'runtime' not in line


@pytest.mark.parametrize('word', ['nothing/there.py', 'nothing.yml'])
def test_a_file_that_is_not_there(word):
    with pytest.raises(ConfigError, match=f'^TEACHER: there is no file {word}$'):
        resolve(word, 'TEACHER')


def test_a_file_of_the_users_is_named_from_the_folder_of_the_config(tmp_path, monkeypatch):
    (tmp_path / 'own.py').write_text('')
    monkeypatch.chdir(tmp_path)
    source = resolve('own.py', 'STUDENT')
    assert (source.package, source.name) == ('', 'own')
    assert source.as_base(str(tmp_path / 'pairs')) == '../own.py'
    assert source.as_cfg_path(str(tmp_path / 'pairs')) == '{{ fileDirname }}/../own.py'
    assert source.as_base('/elsewhere') == str(tmp_path / 'own.py')


def test_weights_of_the_metafile(zoo):
    assert checkpoint(resolve('retina_r18', 'TEACHER')) == 'https://zoo/retina_r18.pth'
    metafile = zoo / 'mmdet' / 'retina' / 'metafile.yml'
    metafile.write_text(metafile.read_text().replace('retina_r18.pth', ''))
    metafile.write_text(metafile.read_text().replace('https://zoo/\n', '\n'))
    assert checkpoint(resolve('published_mmdet_1', 'TEACHER')) is None
    metafile.write_text('Models: [')
    assert checkpoint(resolve('retina_r18', 'TEACHER')) is None
    assert checkpoint(Source('/somewhere/own.py')) is None


def test_the_installed_zoo_is_known():
    found = resolve('retinanet_r101_fpn_2x_coco', 'TEACHER')
    assert found.path == 'retinanet/retinanet_r101_fpn_2x_coco.py'
    assert checkpoint(found).endswith('retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth')

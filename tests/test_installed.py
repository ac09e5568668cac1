"""Packages that are installed over each other are noticed, from metadata alone."""
import importlib.metadata
import warnings

import pytest

from autokd_mm import compat, installed
from autokd_mm.errors import InstallationWarning


@pytest.fixture
def installing(tmp_path, monkeypatch):
    """``installing('mmcv 2.1.0', 'mmengine 0.10.7', folder='site')`` pretends."""
    folders = []

    def install(*what, folder='site'):
        for name, version in (one.split() for one in what):
            info = tmp_path / folder / f'{name.replace("-", "_")}-{version}.dist-info'
            info.mkdir(parents=True)
            (info / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')
        if str(tmp_path / folder) not in folders:
            folders.append(str(tmp_path / folder))

    monkeypatch.setattr(installed, 'distributions',
                        lambda **wanted: importlib.metadata.distributions(path=folders, **wanted))
    return install


def clashes():
    return installed.clashes(installed.distributions_by_name())


@pytest.mark.parametrize('what', [
    ['onedl-mmengine 0.10.12', 'onedl-mmcv 2.3.6', 'onedl-mmdetection 3.5.1'],
    ['mmengine 0.10.7', 'mmcv-lite 2.2.0', 'onedl-mmdetection 3.5.1', 'mmrazor 1.0.0'], []])
def test_one_of_each_is_well(installing, what):
    installing(*what)
    assert clashes() == []


@pytest.mark.parametrize('what, kept, removed', [
    (['mmcv-lite 2.1.0', 'mmcv 2.1.0', 'mmengine 0.10.7'], 'mmcv', ('mmcv-lite', )),
    (['mmcv-lite 2.2.0', 'OneDL_mmcv 2.3.6'], 'onedl-mmcv', ('mmcv-lite', )),
    (['mmengine 0.10.7', 'onedl-mmengine 0.10.12', 'onedl-mmcv 2.3.6'], 'onedl-mmengine',
     ('mmengine', )),
    # nothing else is of OneDL's
    (['mmengine 0.10.7', 'onedl-mmengine 0.10.12', 'mmcv 2.1.0'], 'mmengine',
     ('onedl-mmengine', )),
    (['mmcv 2.1.0', 'onedl-mmcv 2.3.6', 'mmcv-lite 2.2.0', 'onedl-mmpretrain 1'], 'onedl-mmcv',
     ('mmcv', 'mmcv-lite'))])
def test_two_in_one_folder(installing, what, kept, removed):
    installing(*what)
    clash, = clashes()
    assert (clash.kept, clash.removed) == (kept, removed)
    version = next(one.split()[1] for one in what if installed.normal(one.split()[0]) == kept)
    assert clash.mend() == (f'pip uninstall -y {" ".join(removed)}; pip install --force-reinstall '
                            f'--no-deps {kept}=={version}')


def test_one_in_front_of_the_other_on_the_path(installing):
    """An environment on top of another one: nothing is overwritten."""
    installing('mmengine 0.10.7')
    installing('onedl-mmengine 0.10.12', folder='below')
    assert clashes() == []


def test_what_is_left_of_a_removed_package(installing, tmp_path):
    installing('mmcv 2.1.0')
    (tmp_path / 'site' / 'mmcv_lite-2.1.0.dist-info').mkdir()  # no METADATA
    assert list(installed.distributions_by_name()) == ['mmcv']


def test_one_warning_at_the_import_of_a_training(installing, monkeypatch):
    installing('mmengine 0.10.7', 'onedl-mmengine 0.10.12', 'mmcv-lite 2.2.0', 'mmcv 2.1.0')
    with pytest.warns(InstallationWarning) as told:
        compat._warn_of_clashes()
    text = str(told[0].message)
    assert len(told) == 1 and '\n' not in text
    assert 'mmengine and onedl-mmengine, mmcv and mmcv-lite' in text
    assert 'pip uninstall -y mmcv-lite; pip install' in text


def test_no_warning_where_all_is_well(installing):
    installing('onedl-mmengine 0.10.12', 'onedl-mmcv 2.3.6')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compat._warn_of_clashes()

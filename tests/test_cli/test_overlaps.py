"""Files of two distributions, from made-up RECORDs."""
from importlib.metadata import PathDistribution

import pytest

from autokd_mm.cli.overlaps import Overlap, harmless, overlaps


@pytest.fixture
def found(tmp_path):
    """``found(a=('1.0', {'x/y.py': 'sha256=1'}))``: what is installed, and its files."""

    def make(folder='site', **what):
        result = {}
        for name, (version, files) in what.items():
            info = tmp_path / folder / f'{name}-{version}.dist-info'
            info.mkdir(parents=True)
            (info / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')
            rows = [f'{path},{digest},1' for path, digest in files.items()]
            (info / 'RECORD').write_text('\n'.join([*rows, f'{info.name}/RECORD,,']) + '\n')
            result[name] = PathDistribution(info)
        return result

    return make


def test_files_with_other_content_are_counted(found):
    there = found(a=('1', {'cv/a.py': 'sha256=1', 'cv/b.py': 'sha256=2', 'cv/c.py': 'sha256=3'}),
                  b=('2', {'cv/a.py': 'sha256=9', 'cv/b.py': 'sha256=8', 'cv/c.py': 'sha256=3'}),
                  c=('1', {'other/a.py': 'sha256=5'}))
    assert overlaps(there) == [Overlap('a', 'b', 2, 'cv')]
    assert not harmless(overlaps(there)[0], there)


def test_what_harms_nobody(found):
    there = found(a=('1', {'tests/__init__.py': 'sha256=1', 'x/__init__.py': 'sha256=0',
                           'x/__pycache__/a.pyc': '', '"x/a,b.py"': 'sha256=1'}),
                  b=('1', {'tests/__init__.py': 'sha256=2', 'x/__init__.py': 'sha256=0',
                           'x/__pycache__/a.pyc': ''}))
    assert overlaps(there) == []


def test_one_version_harms_only_among_openmmlabs(found):
    files = {'x/a.py': 'sha256=1'}, {'x/a.py': 'sha256=2'}
    there = found(opencv=('4.12', files[0]), headless=('4.12', files[1]))
    assert harmless(overlaps(there)[0], there)
    there = found('mm', mmcv=('2.1.0', files[0]), other=('2.1.0', files[1]))
    assert not harmless(overlaps(there)[0], there)


def test_most_files_first_and_folders_apart(found):
    one, other = {'p/a.py': 'sha256=1'}, {'p/a.py': 'sha256=2'}
    there = {**found('first', a=('1', one)), **found('second', b=('2', other))}
    assert overlaps(there) == []
    more = {'q/a.py': 'sha256=3', 'q/b.py': 'sha256=3'}
    there = found('third', a=('1', {**one, **more}), b=('2', other),
                  c=('3', dict.fromkeys(more, 'sha256=4')))
    assert overlaps(there) == [Overlap('a', 'c', 2, 'q'), Overlap('a', 'b', 1, 'p')]


def test_a_package_without_record(found, tmp_path):
    there = found(a=('1', {'x/a.py': 'sha256=1'}))
    info = tmp_path / 'site' / 'b-1.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Name: b\nVersion: 1\n')  # conda's, and Debian's
    there['b'] = PathDistribution(info)
    assert overlaps(there) == []
    (info / 'RECORD').write_bytes(b'x/a.py,\xff\xfe,1')  # damaged
    assert overlaps(there) == []

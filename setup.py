"""Metadata and build of the package.

OpenMMLab's tools look for configs, tools and the model index of an installed package in its
``.mim`` folder. A wheel gets copies of them, made in the build folder; an editable install gets
links in a folder that git ignores. The sdist holds the originals only.
"""
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')


def read_version():
    """Read the version without importing the package, which needs torch."""
    text = (ROOT / 'autokd_mm' / 'version.py').read_text(encoding='utf-8')
    found = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
    if found is None:
        raise SystemExit("autokd_mm/version.py: no line __version__ = '...'")
    return found.group(1)


def read_requirements(name):
    lines = (ROOT / 'requirements' / name).read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(('#', '-'))]


def read_readme():
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.is_file() else ''


class BuildWithMim(build_py):
    """``build_py`` that adds the ``.mim`` folder."""

    def run(self):
        super().run()
        sources = [ROOT / name for name in MIM_CONTENT if (ROOT / name).exists()]
        if getattr(self, 'editable_mode', False):
            self.link(sources, ROOT / 'autokd_mm' / '.mim')
        else:
            self.copy(sources, Path(self.build_lib) / 'autokd_mm' / '.mim')

    @staticmethod
    def link(sources, target):
        target.mkdir(exist_ok=True)
        (target / '.gitignore').write_text('*\n')
        for source in sources:
            link = target / source.name
            if link.is_symlink():
                link.unlink()
            try:
                link.symlink_to(Path('..', '..', source.name))
            except OSError:  # no links here (Windows): only `mim` commands miss them
                return

    @staticmethod
    def copy(sources, target):
        shutil.rmtree(target, ignore_errors=True)  # a file deleted since the last build
        target.mkdir(parents=True)
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, target / source.name,
                                ignore=shutil.ignore_patterns('__pycache__', '*.py[cod]'))
            else:
                shutil.copy2(source, target)


runtime, train = read_requirements('runtime.txt'), read_requirements('train.txt')
optional, tests = read_requirements('optional.txt'), read_requirements('tests.txt')
mminstall = read_requirements('mminstall.txt')

setup(
    name='autokd_mm',
    version=read_version(),
    description='Distillers found by Monte Carlo tree search, for MMRazor and MMEngine',
    long_description=read_readme(),
    long_description_content_type='text/markdown',
    keywords='computer vision, knowledge distillation, Monte Carlo tree search, OpenMMLab',
    author='The autokd_mm authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'License :: OSI Approved :: Apache Software License',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.8',
        'Programming Language :: Python :: 3.9',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['autokd_mm', 'autokd_mm.*']),
    package_data={'autokd_mm': ['py.typed', 'experience/default.json'],
                  'autokd_mm.page': ['templates/*']},
    python_requires='>=3.8',
    # What the search alone imports.
    install_requires=runtime,
    # The two sets of MM packages are in an extra each, and no two packages of one extra write the
    # same files. `train` is for an environment that has a set; `mim`, `optional` and `all` are the
    # original packages with a compiled mmcv, for `mim install`.
    extras_require={
        'onedl': train + read_requirements('onedl.txt'),
        'openmmlab': train + read_requirements('openmmlab.txt'),
        'train': train,
        'onnx': read_requirements('onnx.txt'),
        'plots': read_requirements('plots.txt'),
        'viewers': read_requirements('viewers.txt'),
        'postgres': read_requirements('postgres.txt'),
        'tests': tests,
        'docs': read_requirements('docs.txt'),
        'mim': mminstall,
        'optional': optional,
        'all': runtime + train + optional + mminstall + tests,
    },
    entry_points={'console_scripts': ['autokd = autokd_mm.cli.main:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)

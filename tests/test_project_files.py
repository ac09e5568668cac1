"""What people and machines who join the project read: workflows, forms, citation, how-to."""
import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from autokd_mm.version import __version__

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))
FORMS = sorted((ROOT / '.github' / 'ISSUE_TEMPLATE').glob('*.yml'))
TARGETS = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
STACKS = {path.stem for path in (ROOT / 'requirements' / 'stacks').glob('*.txt')
          if '.' not in path.stem}
TEXTS = [*WORKFLOWS, *FORMS, ROOT / 'CONTRIBUTING.md', ROOT / 'CHANGELOG.md',
         ROOT / 'CITATION.cff', ROOT / 'docs' / 'deploy.md']

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason='a copy of the sources without .github')


def name(path):
    return path.name


def shell_blocks(path):
    return '\n'.join(re.findall(r'```bash\n(.*?)```', path.read_text(), re.DOTALL)).splitlines()


@pytest.mark.parametrize('path', WORKFLOWS, ids=name)
def test_workflow_runs_what_there_is(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow.get('on', workflow.get(True))  # YAML 1.1 reads `on` as true
    assert workflow['permissions'] == {'contents': 'read'}
    lines = [line for job in workflow['jobs'].values() for step in job['steps']
             for line in step.get('run', '').splitlines()]
    assert lines
    known = shell_blocks(ROOT / 'README.md')
    for line in lines:
        words = line.split()
        made = words[0] == 'make' and {word for word in words[1:] if '=' not in word}
        assert (made and made <= TARGETS) or line in known, line
    for job in workflow['jobs'].values():
        assert job['timeout-minutes'] <= 120
        for step in job['steps']:
            assert ('run' in step) != ('uses' in step)
            assert '@' in step.get('uses', '@')


def test_every_set_of_packages_is_tested():
    jobs = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']
    assert {entry['stack'] for entry in jobs['tests']['strategy']['matrix']['include']} == STACKS
    run = {step['run'] for job in jobs.values() for step in job['steps'] if 'run' in step}
    assert {'make lint', 'make test', 'make test-install', 'make docs'} <= run
    weekly = yaml.safe_load((ROOT / '.github/workflows/weekly.yml').read_text())
    assert weekly.get('on', weekly.get(True))['schedule']


@pytest.mark.parametrize('path', FORMS, ids=name)
def test_form(path):
    form = yaml.safe_load(path.read_text())
    if path.name == 'config.yml':
        assert form['blank_issues_enabled'] is False
        return
    assert form['name'] and form['description']
    ids = [field['id'] for field in form['body']]
    assert len(ids) == len(set(ids))
    for field in form['body']:
        assert field['type'] in ('textarea', 'input', 'dropdown', 'checkboxes')
        assert field['attributes']['label']


def test_citation():
    found = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= set(found)
    assert found['version'] == __version__ and found['license'] == 'Apache-2.0'


def test_changelog_says_which_version_there_is():
    text = (ROOT / 'CHANGELOG.md').read_text()
    assert __version__ in text and '## Unreleased' in text
    days = re.findall(r'^### (\d{4}-\d\d-\d\d)$', text, re.MULTILINE)
    assert days == sorted(days, reverse=True)


def test_what_contributing_names_is_there():
    text = (ROOT / 'CONTRIBUTING.md').read_text()
    paths = [found for found in re.findall(r'`([\w./-]+)`', text) if '/' in found]
    paths += re.findall(r'\]\(([\w./-]+)\)', text)
    assert len(paths) > 8
    for path in paths:
        assert (ROOT / path).exists(), path
    for line in shell_blocks(ROOT / 'CONTRIBUTING.md'):
        words = line.split()
        assert 'make' not in words[:1] or set(words[1:]) <= TARGETS, line
    for target in re.findall(r'`make ([a-z-]+)`', text):
        assert target in TARGETS, target


def test_the_loss_of_contributing_trains(tmp_path):
    import torch

    from autokd_mm.models.losses import FeatureLoss
    from autokd_mm.registry import MODELS
    code, = re.findall(r'```python\n(.*?)```', (ROOT / 'CONTRIBUTING.md').read_text(), re.DOTALL)
    (tmp_path / 'my_loss.py').write_text(code)
    spec = importlib.util.spec_from_file_location('my_loss', str(tmp_path / 'my_loss.py'))
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        loss = FeatureLoss(distance=dict(type='HuberDistance'))
        student = torch.randn(2, 3, 4, 4, requires_grad=True)
        assert loss(student, student.detach()) == 0
        loss(student, torch.zeros(2, 3, 4, 4)).backward()
        assert student.grad.abs().sum() > 0
    finally:
        MODELS.module_dict.pop('HuberDistance', None)


def test_commands_of_the_page_have_the_tools_arguments():
    lines = [line for line in shell_blocks(ROOT / 'docs' / 'deploy.md') if 'tools/' in line]
    assert len(lines) > 2
    for line in lines:
        words = line.split()
        tool = next(word for word in words if word.startswith('tools/'))
        source = (ROOT / tool).read_text() + (ROOT / 'tools' / '_cli.py').read_text()
        for flag in re.findall(r'(--[a-z-]+)', line):
            assert f"'{flag}'" in source, (tool, flag)


@pytest.mark.parametrize('path', TEXTS, ids=name)
def test_no_place_of_one_machine(path):
    text = path.read_text()
    assert not re.search(r'/(home|root|work|tmp|opt)/', text)
    assert not re.search(r'https?://(?!github\.com/open-mmlab)', text)

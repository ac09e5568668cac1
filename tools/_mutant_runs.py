"""Tests in forked processes.

One process imports the package and collects the tests of a room once. For each mutant it forks a
child, which gives the changed function its new code and runs the tests in the order asked for. What
the import of a file has made already (constants, defaults) cannot be changed like this: for such a
mutant a process that has imported torch and the OpenMMLab packages only is forked, and the changed
file is imported there. Seconds are of the processor: other work on the machine does not count.
"""
import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from types import CodeType, FunctionType

import pytest
from _forked import forked

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HEAVY = ('hypothesis', 'optuna', 'torch', 'mmengine', 'mmdet.apis', 'mmseg.apis',
          'mmpretrain.apis', 'sklearn.datasets', 'pycocotools.cocoeval', 'cv2', 'scipy.stats')
_OPTIONS = ['-x', '-q', '-p', 'no:cacheprovider', '-p', 'no:xdist', '-p', 'no:unraisableexception',
            '-W', 'ignore', '-o', 'timeout=0', '--rootdir', ROOT]


class TooSlow(BaseException):
    """A test that takes longer than was asked for."""


class Found:
    """Plugin of pytest: the first test that failed."""

    failed = ''

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.failed:
            self.failed = report.nodeid


class Reach:
    """Seconds of each test, and the functions of a folder that it calls as ``path:first line``.
    What fixtures of a wider scope call counts for all tests of the file."""

    def __init__(self, folder):
        self._folder, self._calls, self.wide, self.tests = folder, set(), set(), {}

    def trace(self, frame, event, arg):
        code = frame.f_code
        if code.co_filename.startswith(self._folder):
            self._calls.add(f'{os.path.relpath(code.co_filename, ROOT)}:{code.co_firstlineno}')

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        before, self._calls = self._calls, set()
        yield
        if fixturedef.scope != 'function':
            self.wide |= self._calls
        self._calls |= before

    def run(self, items, slowest):
        """Tests that take longer than ``slowest`` are left out of ``tests``."""
        for item, after in zip(items, items[1:] + [None]):
            self._calls, start = set(), time.process_time()
            with _limited(2 * slowest) as slow:
                sys.settrace(self.trace)
                try:
                    _run_item(item, after)
                finally:
                    sys.settrace(None)
            seconds = time.process_time() - start
            if not slow and seconds < 2 * slowest:
                self.tests[item.nodeid] = [round(seconds, 3), sorted(self._calls)]


@contextlib.contextmanager
def _limited(seconds):
    """Let the block fail after so many seconds; yields a list with something in it if it did."""
    late = []

    def stop(number, frame):
        late.append(True)
        raise TooSlow

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield late
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _limit(seconds):
    """What tests that take so long as they are may take with a change: endless loops are many."""
    return 3 + 5 * seconds


def _run_item(item, after):
    item.ihook.pytest_runtest_protocol(item=item, nextitem=after)


class Session:
    """Plugin of pytest: hands the collected tests to ``work(session)`` instead of running them."""

    def __init__(self, work):
        self._work, self.items, self._functions = work, {}, {}

    def pytest_runtestloop(self, session):
        self.found = Found()
        session.config.pluginmanager.register(self.found)
        self._plugins = session.config.pluginmanager
        for item in session.items:
            self.items[item.nodeid] = item
        for function in gc.get_objects():
            if type(function) is FunctionType:
                code = function.__code__
                self._functions.setdefault((code.co_filename, code.co_firstlineno, code.co_name),
                                           []).append(function)
        gc.collect()
        gc.freeze()
        self._work(self)
        return True

    def look(self, items, room, slowest, log):
        """What :class:`Reach` finds, of tests that must pass.

        Returns:
            A dict with the first that ``failed``, ``tests`` and ``wide``.
        """
        def work():
            reach = Reach(os.path.join(ROOT, room) + os.sep)
            self._plugins.register(reach)
            reach.run(items, slowest)
            known = self.found.failed in reach.tests
            return dict(failed=self.found.failed if known else '', tests=reach.tests,
                        wide=sorted(reach.wide))

        return forked(work, 3600, log)

    def run(self, path, body_of, text, tests, log):
        """As :func:`run`, for a change in the body of a function; None where it cannot be made."""
        items = [self.items[name] for name in tests]

        def work():
            if not self._change(os.path.join(ROOT, path), body_of, text):
                return dict(code=None)
            for item, after in zip(items, items[1:] + [None]):
                with _limited(_limit(tests[item.nodeid])) as late:
                    _run_item(item, after)
                if self.found.failed:
                    break
            return dict(code=bool(self.found.failed), failed=self.found.failed, late=bool(late))

        return _outcome(forked(work, _limit(sum(tests.values())), log))

    def _change(self, path, line, text):
        """Give the functions that begin in ``line`` of a file the code that they have in ``text``;
        whether there were any and all of them took it."""
        codes, changed = [compile(text, path, 'exec', dont_inherit=True)], 0
        while codes:
            code = codes.pop()
            functions = self._functions.get((path, code.co_firstlineno, code.co_name), [])
            if code.co_firstlineno == line and functions:
                for function in functions:
                    if len(function.__code__.co_freevars) != len(code.co_freevars):
                        return False
                    function.__code__ = code
                    changed += 1
            else:
                codes.extend(item for item in code.co_consts if isinstance(item, CodeType))
        return changed > 0


def preload():
    """Import torch and the OpenMMLab packages, nothing of ours but the module that prepares
    them."""
    spec = importlib.util.spec_from_file_location(
        'compat_alone', os.path.join(ROOT, 'autokd_mm', 'compat.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.prepare()
    for name in _HEAVY:
        with contextlib.suppress(Exception):  # what a set of packages may lack
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def hold(files, work, folder):
    """Collect the tests of ``files`` in a forked process and call ``work(session)`` there; whether
    it came to its end."""
    def collect():
        code = _pytest(files, [Session(work)], folder)
        return dict(code=code)

    return forked(collect, None, os.path.join(folder, 'collected')).get('code') in (0, 5)


def _pytest(files, plugins, folder):
    from hypothesis import Phase, settings

    # the same examples each time, none kept on disk, no search for the smallest one
    settings.register_profile('mutants', database=None, derandomize=True, deadline=None,
                              phases=[Phase.explicit, Phase.generate])
    settings.load_profile('mutants')
    return int(pytest.main([*_OPTIONS, '--basetemp', os.path.join(folder, 'tmp'), *files],
                           plugins=plugins))


def run(path, text, tests, folder):
    """Import the package with ``text`` in the place of a file, and run ``tests`` until one fails.

    Args:
        tests: name -> its seconds, in the order to be run.

    Returns:
        ('killed', the test that failed), ('survived', '') or ('timeout', '').
    """
    def work():
        loader = importlib.machinery.SourceFileLoader
        original = loader.get_code

        def get_code(self, fullname):
            name = self.get_filename(fullname)
            if os.path.abspath(name) == os.path.join(ROOT, path):
                return compile(text, name, 'exec', dont_inherit=True)
            return original(self, fullname)

        loader.get_code = get_code
        order, found = {name: index for index, name in enumerate(tests)}, Found()

        class Chosen:
            @staticmethod
            def pytest_collection_modifyitems(items):
                items[:] = sorted((item for item in items if item.nodeid in order),
                                  key=lambda item: order[item.nodeid])

        files = list(dict.fromkeys(name.split('::')[0] for name in tests))
        code = _pytest(files, [Chosen, found], folder)
        return dict(code=code, failed=found.failed)

    seconds = 10 + _limit(sum(tests.values()))
    return _outcome(forked(work, seconds, os.path.join(folder, 'log')))


def _outcome(found):
    if found is None or found.get('late'):
        return 'timeout', ''
    if found.get('code', 1) is None:
        return None
    return ('killed', found.get('failed') or 'import') if found.get('code', 1) else ('survived', '')

"""The way of one family: from two configs to an exported student.

Each step is a tool of ours, called in this process. A step that the program refuses in one line
ends the way; whatever else is raised is a defect.
"""
import contextlib
import copy
import csv
import importlib.util
import json
import os
import re
import shutil
import sys
import time
import traceback

from zoo import listing, shrinking
from zoo.small import load, plain, small
from zoo.warm import forget

TOOLS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
THROUGH, REFUSED, DEFECT, SLOW, OTHER = 'through', 'refused', 'defect', 'too slow', 'other task'
TRIALS, STEPS = 2, 2
SO_FAR = 'so_far.json'
# What a child of the pair's config sets: a search of two candidates of two steps each.
_SEARCH = '''_base_ = {pair!r}

teacher_ckpt = {weights!r}
model = dict(teacher_ckpt=teacher_ckpt)
train_cfg = dict(
    trials={trials}, rejection=None, pruner=None, final_round=None,
    proxy=dict(_delete_=True, images={images}, held_out=4, epochs=1, batch_size=2, threads=1))
'''


class Ended(Exception):
    """The way ends here: an outcome and its one line."""

    def __init__(self, outcome, line, trace=''):
        self.outcome, self.line, self.trace = outcome, line, trace
        super().__init__(line)


class Way:
    """Everything that is done with one family, in a folder of its own.

    Args:
        package, family: names.
        root: folder of the data.
        folder: where everything is written.
        level: divisor of widths and side of images, when they are known.
    """

    def __init__(self, package, family, root, folder, level=None):
        self._package, self._family, self._root = package, family, root
        self._folder, self._level = folder, level
        self.record = dict(package=package, family=family, stages={})

    def go(self):
        """A record of JSON values; ``outcome`` and ``line`` say how it ended."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.makedirs(self._folder)
        os.chdir(self._folder)
        start = time.process_time()
        try:
            self._steps()
            self.record.update(outcome=THROUGH, line='')
        except Ended as end:
            self.record.update(outcome=end.outcome, line=end.line, trace=end.trace)
        self.record['seconds'] = round(time.process_time() - start, 1)
        return self.record

    def _steps(self):
        paths = listing.families(self._package)[self._family]
        choices, why = listing.choices(paths, load, self._package)
        if not choices:
            raise Ended(OTHER, why)
        self.record.update(config=stem(choices[0][0]), task=choices[0][1])
        with self._stage('plain'):
            path, task = self._first_that_trains(choices)
        teacher = listing.larger(path, paths)
        self.record.update(config=stem(path), teacher=stem(teacher or path), task=task)
        with self._stage('pair'):
            self._write(teacher or path, task)
            self._pair()
        with self._stage('dry run'):
            self._tool('search', 'search.py', '--dry-run', '--work-dir', 'dry')
        with self._stage('search'):
            self._search()
        with self._stage('train'):
            self._train()
        with self._stage('export'):
            self._export()

    @contextlib.contextmanager
    def _stage(self, name):
        self.record['stage'] = name
        with open(SO_FAR, 'w') as file:  # for the parent, should this process be killed
            json.dump(self.record, file)
        start = time.process_time()
        try:
            yield
        except (Ended, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise self._ended(error) from None
        finally:
            self.record['stages'][name] = round(time.process_time() - start, 1)

    def _ended(self, error):
        from autokd_mm.engine.mistakes import mistake
        made = mistake(error) if isinstance(error, Exception) else None
        if made is not None:
            return Ended(REFUSED, ' '.join(str(made).split()))
        return Ended(DEFECT, in_short(error), traceback_of(error))

    def _first_that_trains(self, choices):
        """The first config, and the smallest numbers, with which its package trains and
        predicts."""
        last = None
        for path, task in choices:
            said, whole = [], []  # (side of the images, what was raised); with its own widths
            for level in [self._level] if self._level else shrinking.LEVELS:
                if said[-2:-1] == said[-1:] and said[-1:] and said[-1][0] == level[1]:
                    continue  # the same whatever the widths
                try:
                    self._small = small(path, task, self._root, level, 'plain')
                    self.record['parameters'] = plain(self._small)
                except Exception as error:
                    said.append((level[1], in_short(error)))
                    print(f'{stem(path)} {level}: {said[-1][1]}', flush=True)
                    if path == choices[0][0] and not isinstance(last, NotImplementedError):
                        last = error  # with its own widths and the largest images
                    whole += [said[-1][1]] if level[0] == 1 else []
                    if needed(error) or whole[-2:-1] == whole[-1:] == [said[-1][1]]:
                        break  # no size of image changes it
                    continue
                finally:
                    forget()
                    shutil.rmtree('plain', ignore_errors=True)
                self.record['level'] = list(level)
                return path, task
        raise Ended(REFUSED, needed(last) or 'its own package does not train it: '
                    + in_short(last), traceback_of(last))

    def _write(self, teacher, task):
        """student.py, teacher.py and weights of a teacher that knows nothing."""
        import torch
        from mmengine.registry import DefaultScope

        from autokd_mm.registry import MODELS
        self._small.pop('work_dir', None)
        self._small.dump('student.py')
        config = self._small
        if stem(teacher) != self.record['config']:
            try:
                config = small(teacher, task, self._root, self.record['level'], 'plain')
                config.pop('work_dir', None)
                with DefaultScope.overwrite_default_scope(config.default_scope):
                    self._network(config, MODELS)
            except Exception as error:  # its widths do not fit; the student is its own teacher then
                print(f'teacher: {in_short(error)}', flush=True)
                config, self.record['teacher'] = self._small, self.record['config']
        config.dump('teacher.py')
        with DefaultScope.overwrite_default_scope(config.default_scope):
            torch.save(dict(state_dict=self._network(config, MODELS).state_dict()), 'teacher.pth')

    @staticmethod
    def _network(config, registry):
        model = copy.deepcopy(config.model)
        if config.get('data_preprocessor'):
            model.setdefault('data_preprocessor', config.data_preprocessor)
        network = registry.build(model)
        network.init_weights()
        return network

    def _pair(self):
        from autokd_mm.zoo import make_pair
        pair = make_pair('teacher.py', 'student.py', 'pair.py')
        print(pair, flush=True)
        self.record['layers'] = str(pair.choice.names)
        with open('search.py', 'w') as file:
            file.write(_SEARCH.format(pair='pair.py', weights=os.path.abspath('teacher.pth'),
                                      trials=TRIALS, images=2 * STEPS))

    def _search(self):
        """Until two candidates were measured. Any distiller may be too strong for random weights:
        one that diverges is replaced, twice at most."""
        self._tool('search', 'search.py', '--work-dir', 'search')
        done, diverged = self._candidates()
        if diverged:
            self._tool('search', 'search.py', '--work-dir', 'search', '--resume', '--trials',
                       str(2 * TRIALS))
            done, diverged = self._candidates()
        if len(done) < TRIALS or not all(row['held_out_loss'] or row['gap'] for row in done):
            raise Ended(DEFECT, f'{len(done)} candidates were measured, wanted {TRIALS}' + (
                f'; {diverged[0]["reason"]}' if diverged else ''))
        if diverged:
            self.record['diverged'] = len(diverged)

    @staticmethod
    def _candidates():
        with open(os.path.join('search', 'leaderboard.csv')) as file:
            rows = list(csv.DictReader(file))
        failed = [row for row in rows if row['state'] == 'failed']
        for row in failed:
            if not re.search(r'not finite|\bnan\b|\binf', row['reason'], re.IGNORECASE):
                raise Ended(DEFECT, f'a candidate failed: {row["reason"]}')
        return [row for row in rows if row['state'] == 'complete'], failed

    def _train(self):
        from mmengine.config import Config
        config = Config.fromfile(os.path.join('search', 'best_distiller.py'))
        config.train_dataloader.num_batch_per_epoch = 1
        hooks = shrinking.types([config.default_hooks, config.get('custom_hooks')])
        had = shrinking.types([self._small.default_hooks, self._small.get('custom_hooks')])
        missing = had - hooks
        if missing:
            raise Ended(DEFECT, f'the found config has lost hooks: {dict(missing)}')
        config.dump('train.py')
        self._tool('train', 'train.py', '--work-dir', 'train')

    def _export(self):
        import torch
        from mmengine.registry import DefaultScope
        from mmengine.runner import find_latest_checkpoint

        from autokd_mm.registry import MODELS
        self._tool('export_student', find_latest_checkpoint('train') or 'no checkpoint',
                   'student.pth')
        weights = torch.load('student.pth', weights_only=True)['state_dict']
        with DefaultScope.overwrite_default_scope(self._small.default_scope):
            network = self._network(self._small, MODELS)
        own = {name for name in network.state_dict() if not name.startswith('data_preprocessor')}
        found = {name for name in weights if not name.startswith('data_preprocessor')}
        # A network that has run may have one part of itself under a second name (DDQ).
        known = {weights[name].numpy().tobytes() for name in own & found} if found - own else ()
        found -= {name for name in found - own if weights[name].numpy().tobytes() in known}
        if own != found:
            raise Ended(DEFECT, f'the exported student differs from the network: '
                        f'{sorted(own ^ found)[:3]}')

    @staticmethod
    def _tool(name, *args):
        """Call a tool in this process as a shell would."""
        spec = importlib.util.spec_from_file_location(
            f'tool_{name}', os.path.join(TOOLS, f'{name}.py'))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.argv = [f'{name}.py', *args]
        try:
            module.main()
        finally:
            forget()


def stem(path):
    return os.path.basename(path)[:-len('.py')]


def in_short(error):
    """Type, first line and place of an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f' ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})' if frames else ''
    said = ' '.join(str(error).split())
    return f'{type(error).__name__}: {said[:200]}{where}'


def traceback_of(error):
    return ''.join(traceback.format_exception(type(error), error, error.__traceback__))[-6000:]


def needed(error):
    """In words what is missing on this machine; '' where that is not the reason."""
    said = ' '.join(str(error).split())
    if 'implementation for device cpu not found' in said:
        return f'needs a GPU: {said[:120]}'
    if isinstance(error, ImportError) or 'not installed' in said or 'pip install' in said:
        return f'needs a package that is not there: {said[:120]}'
    from autokd_mm.errors import OperationMissing
    return said if isinstance(error, OperationMissing) else ''

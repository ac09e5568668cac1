"""From the names of two networks to a config."""
from __future__ import annotations

import os
from shlex import quote
from typing import List, NamedTuple, Optional

from autokd_mm.engine.config import check_writable
from autokd_mm.errors import ConfigError
from autokd_mm.layers.heads import tells_several_labels
from autokd_mm.report.export import write_atomically
from autokd_mm.zoo import recipe, writing
from autokd_mm.zoo.choosing import Choice, choose
from autokd_mm.zoo.looking import Looked, look
from autokd_mm.zoo.metafile import checkpoint
from autokd_mm.zoo.names import Source, resolve
from autokd_mm.zoo.sizing import size


class Pair(NamedTuple):
    """A config that was written.

    Attributes:
        path: of the file.
        choice: what it compares.
        teacher_ckpt: URL of the teacher's weights; ``None`` where its metafile has none.
        lines: what was chosen and why, with what else could have been; for a screen.
    """
    path: str
    choice: Choice
    teacher_ckpt: Optional[str]
    lines: List[str]

    def __str__(self) -> str:
        return '\n'.join(self.lines)


def make_pair(teacher: str, student: str, out: Optional[str] = None,
              data_root: Optional[str] = None, distiller: Optional[str] = None) -> Pair:
    """Write the config of a search for a distiller, or, with a distiller, of a training with it.

    Both networks are built with random weights and see one image of random pixels; nothing is
    downloaded.

    Args:
        teacher, student: files, or names that :func:`resolve` knows. The student brings data and
            schedule.
        out: the file; by default named by the two, in the current folder.
        data_root: of the images, in the place of the student's.
        distiller: config that a search has written, whose distiller is put on this pair.

    Raises:
        ConfigError: a name that nobody knows, a network that cannot be built or paired; in one
            line.
    """
    sources = resolve(student, 'STUDENT'), resolve(teacher, 'TEACHER')
    own, other = sources
    out = out or f'{other.name}_teaches_{own.name}.py'
    folder = os.path.dirname(os.path.abspath(out))
    if os.path.splitext(out)[1] != '.py':
        raise ConfigError(f'--out: {out} must be the name of a Python file')
    if any(os.path.abspath(out) == os.path.abspath(source.file) for source in sources):
        raise ConfigError(f'--out: {out} is one of the two configs')
    check_writable(folder, '--out')
    looked = look(own, other, data_root)
    proxy = size(looked.config, looked.kind)
    choice = choose(looked, proxy)
    weights = checkpoint(other)
    lines = [*choice.why, *_of_images(looked)]
    parts = [_weights(other, weights, distiller is None and looked.kind == looked.teacher_kind)]
    if distiller is None:
        lines += [*proxy.why, f'tried first: {", ".join(choice.methods)}' +
                  ''.join(f'; not {one}' for one in choice.left_out)]
        parts += [writing.model(other, folder, looked, choice.shared_boxes,
                                dict(type='mmrazor.ConfigurableDistiller')),
                  writing.search(choice, proxy.config)]
    else:
        found = recipe.read(distiller, looked, choice)
        lines.append(f'distiller: {found.words}')
        shared = choice.shared_boxes if found.spec.has_logits else None
        parts += [writing.model(other, folder, looked, shared, found.config, found.start),
                  *recipe.hooks(looked.config, found)]
        if found.optim_wrapper is not None:
            parts.append(writing.assigned('optim_wrapper', found.optim_wrapper))
    data, remarks = writing.data(looked.bases[0], data_root)
    lines += remarks
    title = f'{other.name} teaches {own.name}.'
    text = [writing.header(title, lines, choice.runners_up),
            writing.assigned('_base_', own.as_base(folder)), writing.imports(looked), data, *parts]
    write_atomically(out, '\n\n'.join(part for part in text if part).replace(
        title + '\n\n', title + '\n') + '\n')
    return Pair(out, choice, weights, _screen(out, title, lines, choice, weights, distiller))


def _of_images(looked: Looked) -> List[str]:
    lines = []
    if tells_several_labels(getattr(looked.model.student, 'head', None)):
        lines.append('images: a search takes those with one label each; where they have several, '
                     'train with a distiller of another search (--distiller)')
    way = looked.model.to_teacher
    if way is not None and way.renormalise is not None:
        lines.append('images: the teacher sees them normalised as its own config says, which is '
                     "not the student's way")
    if looked.teacher_side is not None:
        lines.append(f'images: the teacher sees them at its {looked.teacher_side} pixels')
    return lines


def _weights(teacher: Source, url: Optional[str], trainable: bool) -> str:
    if url:
        return f"# of {teacher.package}'s model zoo\n" + writing.assigned('teacher_ckpt', url)
    where = f"{teacher.package}'s metafile lists none" if teacher.package else (
        'its config is a file')
    comment = f"# Name the teacher's weights ({where}): --cfg-options teacher_ckpt=FILE" + (
        ',\n# or let the search train it first: train_cfg.train_teacher=True' if trainable else '')
    return f'{comment}\n{writing.assigned("teacher_ckpt", None)}'


def _screen(out: str, title: str, lines: List[str], choice: Choice, weights: Optional[str],
            distiller: Optional[str]) -> List[str]:
    found = [title, *(f'  {line}' for line in lines)]
    if choice.runners_up:
        found += ['runners-up', *(f'  {line}' for line in choice.runners_up)]
    found.append(f'teacher_ckpt: {weights}' if weights else
                 'teacher_ckpt: None, nothing is listed; name a file with --cfg-options '
                 'teacher_ckpt=FILE')
    found.append(f'written: {out}; next: ' + (
        f'autokd train {quote(out)}' if distiller else f'autokd search {quote(out)} --dry-run'))
    return found

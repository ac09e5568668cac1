"""``autokd report WORK_DIR``: write the page of a search, finished, running or stopped."""
import os
from typing import List

from autokd_mm.cli.arguments import parser_of
from autokd_mm.errors import ConfigError


def write(args: List[str]) -> int:
    """Write the page and print where it is.

    Args:
        args: of the command.

    Returns:
        The exit code, 0.

    Raises:
        StudyError: there is no study, or it cannot be read.
        ConfigError: the page cannot be written, or jinja2 is not installed.
    """
    parser = parser_of(
        'report', 'Write report.html: what a search found, how sure it is, '
        'what mattered, what to run next. One file for any browser.')
    parser.add_argument('--out', metavar='HTML', help='file to write; by default report.html in '
                        'the work dir')
    given = parser.parse_args(args)
    from autokd_mm.page import write_page
    from autokd_mm.page.plots import MISSING, installed
    from autokd_mm.study.status import open_studies
    from autokd_mm.whole_file import refuse_another
    if given.out:
        refuse_another(given.out, b'<!doctype html>', 'a page')
    studies = open_studies(given.work_dir, given.storage)
    try:
        path = write_page(given.work_dir, *studies, given.out)
    except OSError as error:
        raise ConfigError(f'--out: {given.out or os.path.join(given.work_dir, "report.html")} '
                          f'cannot be written ({error.strerror})') from None
    print(path)
    if not installed():
        print(MISSING)
    return 0

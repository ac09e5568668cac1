"""What the commands share that look at a search."""
import argparse


def parser_of(command: str, description: str) -> argparse.ArgumentParser:
    """With ``WORK_DIR`` and ``--storage``."""
    parser = argparse.ArgumentParser(f'autokd {command}', description=description)
    parser.add_argument('work_dir', help='of the search')
    parser.add_argument('--storage', metavar='URL',
                        help='of the database that holds the study; a journal is in the work dir')
    return parser

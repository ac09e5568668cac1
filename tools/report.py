#!/usr/bin/env python3
"""Write the page of a search, as ``autokd report`` does: ``tools/report.py work_dirs/digits``."""
import os
import sys

# A checkout that is not installed works from any folder. Nothing heavy is imported, see _cli.py.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

if __name__ == '__main__':
    from autokd_mm.cli.main import main
    sys.exit(main(['report', *sys.argv[1:]]))

"""tools/benchmarks/faults.py, short: workers of a search killed at random moments, a storage that
goes away and comes back, clocks that are set back. What is asserted stands in its ``check``."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks' / 'faults.py'


def faults(out, *args):
    """The figures by name."""
    done = subprocess.run([sys.executable, '-W', 'ignore', str(FAULTS), *map(str, args), '--quick',
                           '--out', str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode == 1 and 'skipped:' in done.stderr:
        pytest.skip(done.stderr.strip().split('skipped: ')[-1])
    assert done.returncode == 0, done.stderr
    return {row['name']: row['value'] for row in json.loads(out.read_text())}


@pytest.mark.timeout(600)
@pytest.mark.parametrize('kills, storage', [(35, ('--clock', )), (15, ('--postgres', ))],
                         ids=['journal, clocks set back', 'postgresql'])
def test_killed_at_random_and_storage_away_for_20_seconds(kills, storage, tmp_path):
    result = faults(tmp_path / 'faults.json', '--kills', kills, '--away', 20, *storage)
    assert result['trials told by disturbed workers'] >= kills // 2
    assert result['workers killed'] == kills and result['storage away'] == 20
    assert result['kills, check and final round'] >= 20

"""tools/benchmarks/epochs.py on tables made up on the spot."""
import json

import pytest

METHODS = [dict(transform='logits_only', logits='kl', logits_temperature=4, logits_weight=1),
           dict(transform='none', connector='identity', intra='none', inter='none', distance='l2',
                feature_weight=5)]


@pytest.fixture
def table(write_table):
    def write(epochs, rows, column='test_metric', methods=METHODS):
        head = dict(proxy=dict(images=100, epochs=epochs), distillers=methods,
                    baseline={'0': {column: 0.5}, '1': {column: 0.6}})
        return write_table(epochs, head, ('index', 'seed', 'state', column), rows)

    return write


def test_accuracy_of_each_seed_and_means(tool, table, tmp_path):
    long = table(45, [(0, 0, 'complete', 0.7), (1, 0, 'failed', '')])
    short = table(5, [(0, 1, 'complete', 0.4), (0, 0, 'complete', 0.3), (1, 0, 'complete', 0.2)])
    told = tool('benchmarks/epochs', long, short, '--names', 'KD', '--figure', tmp_path / 'f.svg',
                '--out', tmp_path / 'f.json')
    assert 'on the test images' in told
    assert '| | 5 epochs | 45 epochs |\n|---|---|---|\n| undistilled |' in told
    assert '| undistilled | 50.00 60.00 (55.00) | 50.00 60.00 (55.00) |' in told
    assert '| KD | 30.00 40.00 (35.00) | 70.00 |' in told
    assert '| feature > l2 x5 | 20.00 |  |' in told
    figures = {row['name']: row['value'] for row in json.loads((tmp_path / 'f.json').read_text())}
    assert figures['KD, 5 epochs'] == pytest.approx(35)
    assert 'feature > l2 x5, 45 epochs' not in figures
    assert '<svg' in (tmp_path / 'f.svg').read_text()


def test_held_out_images_where_nothing_was_tested(tool, table):
    told = tool('benchmarks/epochs', table(5, [(0, 0, 'complete', 0.3)], 'metric'))
    assert 'on the held-out images' in told and '| logits kl (T=4) x1 | 30.00 |' in told


@pytest.mark.parametrize('options, says', [
    ([], 'tables of one list of distillers, over the same images, are needed'),
    (['--names', 'a', 'b', 'c'], '--names: 3 of them for 2 distillers')])
def test_mistakes(tool, table, options, says):
    tables = [table(5, []), *([] if options else [table(45, [], methods=METHODS[:1])])]
    with pytest.raises(tool.Ended) as ended:
        tool('benchmarks/epochs', *tables, *options)
    assert says in ended.value.err

"""tools/benchmarks/lengths.py on tables made up on the spot."""
import json

import pytest

METHODS = [dict(transform='logits_only', logits='kl', logits_temperature=4, logits_weight=1),
           dict(transform='logits_only', logits='kl', logits_temperature=4, logits_weight=5),
           dict(transform='none', connector='conv1x1', intra='none', inter='none', distance='l2',
                feature_weight=25),
           dict(transform='none', connector='conv1x1', intra='multi_scale', inter='channel',
                distance='pearson', feature_weight=1)]
COLUMNS = ('held_out_loss', 'calibrated_loss', 'gap', 'metric')


@pytest.fixture
def table(write_table):
    def write(epochs, losses, methods=METHODS):
        def row(loss):
            return dict(zip(COLUMNS, (loss, loss, loss / 2, 1 - loss)))

        head = dict(proxy=dict(images=100, epochs=epochs, held_out=100), distillers=methods,
                    baseline={'0': dict(row(0.5), seconds=1)})
        return write_table(epochs, head, ('index', 'seed', 'state', 'seconds') + COLUMNS,
                           [(index, 0, 'complete', 1, *row(loss).values())
                            for index, loss in enumerate(losses)])

    return write


def test_places_gains_and_weights(tool, table, tmp_path):
    short, long = table(4, [0.1, 0.2, 0.3, 0.4]), table(40, [0.2, 0.1, 0.3, 0.05])
    told = tool('benchmarks/lengths', long, short, '--figure', tmp_path / 'f.svg',
                '--out', tmp_path / 'f.json')
    figures = {row['name']: row['value'] for row in json.loads((tmp_path / 'f.json').read_text())}
    assert '4 of 4 distillers at 400, 4,000 samples' in told
    # of the six pairs four change their order
    assert figures['tau of metric at 400 samples with metric at 4,000'] == pytest.approx(-1 / 3,
                                                                                         abs=1e-5)
    assert figures['undistilled at 400 samples'] == 50
    assert figures['gain of the best hand-crafted one at 400 samples'] == pytest.approx(40)
    assert figures['gain of the best other one at 4,000 samples'] == pytest.approx(45)
    assert '| KD | 1 | 5 |' in told
    assert '<svg' in (tmp_path / 'f.svg').read_text()


def test_tables_that_cannot_be_compared(tool, table, capsys):
    one = table(4, [0.1, 0.2, 0.3, 0.4])
    for tables in ([one], [one, table(40, [0.1], METHODS[:1])]):
        with pytest.raises(tool.Ended) as ended:
            tool('benchmarks/lengths', *tables)
        assert 'two tables or more of one list of distillers are needed' in ended.value.err

import gzip
import json
import math

import optuna
import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.search import MCTSSampler, tabular
from autokd_mm.search.reward import Reward
from autokd_mm.search.tabular import Failed, TabularObjective
from autokd_mm.space import DistillerSpace, Shapes

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = dict(transform=['none', 'spatial_attention'], connector=['conv1x1'],
             intra=['none', 'local'], patch_grid=[2], inter=['none', 'sample'],
             distance=['l2', 'cosine', 'kl'], temperature=[4], feature_weight=[1, 5],
             logits=['none', 'kl'], logits_temperature=[4], logits_weight=[1])
SHAPES = dict(batch=64, channels=8, height=4, width=4, classes=10)
COLUMNS = ('index', 'seed', 'state', 'reason', 'calibrated_loss', 'gap', 'metric', 'seconds')
BASE = dict(held_out_loss=2.0, calibrated_loss=2.0, gap=0.5, metric=0.5, seconds=1.0)


def Table(path, reward=None):
    return tabular.Table(path, reward or Reward(dict(calibrated_loss=0.5, gap=0.5)))


def row(index, seed, state='complete', loss=1.0, gap=0.5):
    return index, seed, state, '', loss, gap, 0.5, 1 + index + seed


def write(path, rows, about=None, columns=COLUMNS):
    about = about or dict(space=SPACE, shapes=SHAPES, baseline={'0': BASE, '1': BASE})
    lines = ['# ' + line for line in json.dumps(about, indent=1).splitlines()]
    lines += [','.join(columns)] + [','.join(map(str, r)) for r in rows]
    with gzip.open(path, 'wt') as file:
        file.write('\n'.join(lines) + '\n')
    return str(path)


@pytest.fixture
def space():
    return DistillerSpace(SPACE, Shapes(**SHAPES))


@pytest.fixture
def whole(tmp_path, space):
    """Losses fall with the place in the space; the second seed is better by 0.2."""
    rows = [row(i, s, loss=1.9 - 0.01 * i - 0.2 * s) for i in range(space.count()) for s in (0, 1)]
    return Table(write(tmp_path / 't.csv.gz', rows))


class Asked:
    """Answers like a sampler that goes down one given path, and keeps the questions."""

    def __init__(self, spec):
        self.values, self.asked = spec.to_dict(), []

    def suggest_categorical(self, name, choices):
        self.asked.append((name, tuple(choices)))
        return self.values[name.split('(')[0]]


def test_rewards_and_truth(whole):
    # Gains over the baseline: of the loss (2 - value) / 2, of the gap 0; a weight of 1/2 each.
    assert whole.rewards[0] == pytest.approx([0.5 * 0.05, 0.5 * 0.15])
    assert whole.truth[0] == pytest.approx(0.05)
    assert whole.indices == list(range(len(whole.truth)))
    assert whole.seconds[3].tolist() == [4, 5]


def test_another_reward(tmp_path):
    path = write(tmp_path / 't.csv.gz', [row(0, 0, gap=0.25), row(0, 1, gap=0.5)])
    assert Table(path, Reward(dict(gap=1.0))).rewards.tolist() == [[0.5, 0.0]]


def test_the_default_reward_is_that_of_a_search(tmp_path):
    path = write(tmp_path / 't.csv.gz', [row(0, 0, gap=0.25), row(0, 1)])
    assert tabular.Table(path).truth == pytest.approx(Table(path, Reward()).truth)


def test_it_asks_what_the_space_asks(whole, space):
    objective = TabularObjective(whole)
    for index, spec in enumerate(space.enumerate()):
        mine, theirs = Asked(spec), Asked(spec)
        assert objective.place(mine) == index and space.suggest(theirs) == spec
        assert mine.asked == theirs.asked


def test_a_part_of_a_table_offers_what_it_has(tmp_path, space):
    specs = list(space.enumerate())
    kept = [i for i, spec in enumerate(specs) if i % 3 == 0 and spec.inter == 'none']
    table = Table(write(tmp_path / 't.csv.gz', [row(i, s) for i in kept for s in (0, 1)]))
    assert table.indices == kept
    objective, names = TabularObjective(table), set()
    for place, index in enumerate(kept):
        asked = Asked(specs[index])
        assert objective.place(asked) == place
        names.update(asked.asked)
    assert len({name for name, _ in names}) == len(names)  # a name has one list of choices
    assert 'inter' not in {name.split('(')[0] for name, _ in names}
    for name, choices in names:
        level = name.split('(')[0]
        assert len(choices) > 1
        assert ('(' in name) == (len(choices) < len(table.space.options[level]))
        assert '(' not in name or name == f'{level}({"|".join(map(str, choices))})'


def test_a_question_is_named_by_what_has_a_row(tmp_path, space):
    specs = list(space.enumerate())
    kept = [i for i, spec in enumerate(specs) if spec.distance != 'cosine']
    table = Table(write(tmp_path / 't.csv.gz', [row(i, s) for i in kept for s in (0, 1)]))
    objective, names = TabularObjective(table), set()
    for index in kept:
        asked = Asked(specs[index])
        objective.place(asked)
        names.update(name for name in asked.asked if name[0].startswith('distance'))
    assert names == {('distance(l2|kl)', ('l2', 'kl'))}


def test_a_trial_sees_one_seed_decided_by_its_number(whole):
    objective, other = TabularObjective(whole, seed=0), TabularObjective(whole, seed=1)
    seen = [objective.value(4, n) for n in range(200)]
    assert set(seen) == set(whole.rewards[4]) and 60 < seen.count(seen[0]) < 140
    assert seen == [objective.value(4, n) for n in range(200)]
    assert seen != [other.value(4, n) for n in range(200)]
    assert type(objective.duration(4, 0)) is type(objective.value(4, 0)) is float
    spent = [objective.duration(4, n) for n in range(200)]
    assert [s == 5 for s in spent] == [v == whole.rewards[4][0] for v in seen]


def test_failures(tmp_path):
    rows = [row(0, 0), row(0, 1), row(1, 0, 'failed', ''), row(1, 1, loss=1.8)]
    table = Table(write(tmp_path / 't.csv.gz', rows))
    assert math.isnan(table.rewards[1, 0])
    # The worst reward of the table stands in: 0.5 * 0.1.
    assert table.truth == pytest.approx([0.25, 0.05])
    study = optuna.create_study(direction='maximize', sampler=MCTSSampler(seed=0))
    study.optimize(TabularObjective(table), n_trials=40, catch=(Failed, ))
    states = {state: sum(t.state.name == state for t in study.trials)
              for state in ('COMPLETE', 'FAIL')}
    assert states['FAIL'] > 0 and sum(states.values()) == 40


def test_any_sampler_can_be_replayed(whole):
    for sampler in (MCTSSampler(seed=0), optuna.samplers.TPESampler(seed=0)):
        study = optuna.create_study(direction='maximize', sampler=sampler)
        study.optimize(TabularObjective(whole), n_trials=15)
        assert study.best_value <= whole.rewards.max()


@pytest.mark.parametrize('metric, terms', [
    (0.5, dict(metric=0.5, gap=0.5)), (0.02, dict(held_out_loss=0.5, linear_gap=0.5)),
    ('nan', dict(calibrated_loss=0.5, gap=0.5))])
def test_the_usual_reward_is_by_what_the_undistilled_student_can_do(tmp_path, metric, terms):
    base = dict(BASE, metric=float(metric), linear_gap=0.5)
    about = dict(space=SPACE, shapes=SHAPES, baseline={'0': base})
    table = tabular.Table(write(tmp_path / 't.csv.gz', [(*row(0, 0), 1.5, 0.4)], about,
                                (*COLUMNS, 'held_out_loss', 'linear_gap')))
    assert table.reward.weights == terms


def listed(space, *places):
    specs = list(space.enumerate())
    return dict(space=SPACE, shapes=SHAPES, baseline={'0': BASE},
                distillers=[specs[place].to_dict() for place in places])


def test_rows_of_a_listed_table_are_the_distillers_of_its_list(tmp_path, space):
    about = listed(space, 9, 2, 11)
    table = Table(write(tmp_path / 't.csv.gz', [row(0, 0), row(2, 0, loss=1.5)], about))
    assert [spec.to_dict() for spec in table.specs] == [about['distillers'][0],
                                                        about['distillers'][2]]
    objective = TabularObjective(table)
    for place, spec in enumerate(table.specs):
        trial = optuna.trial.FixedTrial({})
        trial.suggest_categorical = lambda name, choices, spec=spec: spec.to_dict()[
            name.split('(')[0]]
        assert objective.place(trial) == place


def test_a_row_that_is_not_in_the_list_is_named(tmp_path, space):
    path = write(tmp_path / 't.csv.gz', [row(7, 0)], listed(space, 9, 2))
    with pytest.raises(ConfigError, match='distiller 7'):
        Table(path)


def test_a_listed_distiller_outside_of_the_space_is_no_objective(tmp_path, space):
    about = listed(space, 9)
    about['distillers'][0]['feature_weight'] = 77
    table = Table(write(tmp_path / 't.csv.gz', [row(0, 0)], about))
    with pytest.raises(ConfigError, match='feature_weight=77 is not in the space'):
        TabularObjective(table)


def test_distillers_without_all_seeds_are_left_out(tmp_path):
    rows = [row(0, 0), row(0, 1), row(2, 0)]
    assert Table(write(tmp_path / 't.csv.gz', rows)).indices == [0]


@pytest.mark.parametrize('rows, about, columns, message', [
    ([row(0, 0)], None, COLUMNS, 'no distiller has all of its 2 seeds'),
    ([row(0, 7)], None, COLUMNS, 'no baseline of seed 7'),
    ([], None, COLUMNS, 'lacks the columns index, seed, state'),
    ([(0, 0)], None, ('index', 'seed'), 'lacks the columns state'),
    ([], dict(space={}), COLUMNS, 'lacks baseline, shapes'),
    ([row(0, 0, loss='')], None, COLUMNS, 'distiller 0: calibrated_loss is not finite'),
])
def test_bad_tables(tmp_path, rows, about, columns, message):
    path = write(tmp_path / 't.csv.gz', rows, about, columns)
    with pytest.raises(ConfigError) as info:
        Table(path)
    assert message in str(info.value) and path in str(info.value)


def test_not_a_table(tmp_path):
    path = tmp_path / 't.csv'
    path.write_text('index,seed\n')
    with pytest.raises(ConfigError, match='not a gzipped table'):
        Table(str(path))
    whole = gzip.compress(b'index,seed\n' * 9)
    for content in (whole[:-10], whole[:12] + b'\xff' * 20):  # a download that was cut, or damaged
        path.write_bytes(content)
        with pytest.raises(ConfigError, match='not a gzipped table'):
            Table(str(path))
    with gzip.open(path, 'wt') as file:
        file.write('index,seed\n')
    with pytest.raises(ConfigError, match='no JSON object'):
        Table(str(path))

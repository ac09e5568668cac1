import pytest

from autokd_mm.errors import ConfigError
from autokd_mm.space.walk import GuidedTrial, NotOffered, walk


def suggest(trial):
    first = trial.suggest_categorical('first', ('a', 'b', 'c'))
    if first == 'b':
        return first, trial.suggest_categorical('second(1|2)', (1, 2))
    if first == 'c':
        third = trial.suggest_categorical('third', (True, False))
        return first, third, trial.suggest_categorical('fourth', (0.5, ))
    return (first, )


def test_walk_visits_every_leaf_once_in_order():
    assert list(walk(suggest)) == [('a', ), ('b', 1), ('b', 2), ('c', True, 0.5), ('c', False, 0.5)]


def test_walk_of_nothing_to_choose():
    assert list(walk(lambda trial: 'only')) == ['only']


def test_guided_trial_keeps_the_questions():
    trial = GuidedTrial(dict(first='b', second=2, other=3))
    assert suggest(trial) == ('b', 2)
    assert trial.params == {'first': 'b', 'second(1|2)': 2}


@pytest.mark.parametrize('values, message', [
    (dict(first='bb'), "distiller option first='bb' is not offered here, did you mean 'b'? Valid: "
                       'a, b, c'),
    (dict(first='b', second=3), 'distiller option second=3 is not offered here, did you mean 2? '
                                'Valid: 1, 2'),
    (dict(first='b'), 'distiller option second is missing; valid: 1, 2'),
])
def test_guided_trial_leaves_the_tree(values, message):
    with pytest.raises(NotOffered) as info:
        suggest(GuidedTrial(values))
    assert str(info.value) == message and isinstance(info.value, ConfigError)

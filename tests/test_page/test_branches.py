"""The tree of a page."""
import random

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial
from studies_of_searches import trial_of

from autokd_mm.page.branches import grow


def trial(value, state=TrialState.COMPLETE, **params):
    return create_trial(
        state=state, value=value, params=params, user_attrs=dict(rejected=True) if value is None
        and state == TrialState.PRUNED else {}, distributions={
            name: CategoricalDistribution(('kl', 'l2', 1, 2, 'only')[:4]) for name in params})


def numbered(trials):
    study = optuna.create_study(direction='maximize')
    study.add_trials(trials)
    return study.get_trials()


def test_counts_and_values():
    drawn = grow(numbered([trial(.5, a='kl', b=1), trial(.25, a='kl', b=2),
                           trial(.1, TrialState.PRUNED, a='kl', b=1), trial(-1., a='l2', b=1),
                           trial(None, TrialState.PRUNED, a='l2', b=2),
                           trial(None, TrialState.FAIL, a='l2', b=2)]), winner=1)
    root, = [drawn.root]
    assert (root.visits, root.pruned, root.rejected, root.failed) == (6, 1, 1, 1)
    # Pruned ones were measured behind less: they are told apart, not averaged with the others.
    assert drawn.hidden == 0 and root.best == .5 and root.mean == (.5 + .25 - 1) / 3
    first, second = root.below
    assert (first.label, first.visits, first.winner) == ('a = kl', 3, True)
    assert (second.label, second.visits, second.winner) == ('a = l2', 3, False)
    assert [(one.label, one.visits, one.winner) for one in first.below] == [
        ('b = 1', 2, False), ('b = 2', 1, True)]


def test_one_trial_alone_is_one_line():
    drawn = grow(numbered([trial(.5, a='kl', b=1, c=2), trial(.25, a='l2', b=2, c=1)]))
    assert [one.label for one in drawn.root.below] == ['a = kl, b = 1, c = 2',
                                                       'a = l2, b = 2, c = 1']
    assert not any(one.below for one in drawn.root.below)


def test_many_trials_are_a_small_tree_that_says_what_is_missing():
    rng = random.Random(0)
    trials = numbered([trial_of(rng, number) for number in range(200)])
    whole, small = grow(trials, 7, 10000), grow(trials, 7, 60)
    assert whole.hidden == 0 and small.hidden > 0 and small.least > 1

    def nodes(node):
        return 1 + sum(map(nodes, node.below))

    def hidden(node):
        return node.hidden + sum(map(hidden, node.below))

    def ways(node):
        return 1 if not node.below else sum(ways(one) for one in node.below if one.winner)

    assert nodes(small.root) <= 60 < nodes(whole.root)
    assert hidden(small.root) == small.hidden and small.root.visits == 200
    assert ways(small.root) == 1  # the winner's is always drawn


def test_no_trials():
    assert grow([]).root.visits == 0

from autokd_mm.search.grammar import Grammar

# Options: 1, 2 are transforms, 3, 4 are inters, 5, 6, 7 distances, 8, 9 weights.
WEIGHTS = (8, 9)


def offered(grammar, *path):
    found = grammar.offered(grammar.state(path))
    return None if found is None else [option for option, _ in found]


def add(grammar, *steps):
    """Steps of (offered, taken)."""
    path = (0, )
    for offered, taken in steps:
        grammar.add(path, offered)
        path += (taken, )
    grammar.add(path, ())


def test_what_followed_an_option_is_expected_after_it_elsewhere():
    grammar = Grammar()
    add(grammar, ((1, 2), 1), ((3, 4), 3), ((5, 6), 5))
    assert offered(grammar, 0, 1, 3) == [5, 6]
    assert offered(grammar, 0, 2, 3) == [5, 6]  # never there, but after 3 elsewhere
    assert offered(grammar, 0, 1, 4) is None  # nobody took 4
    assert offered(grammar, 0, 1, 3, 5) == []  # an end
    assert [grammar.reach(option) for option in (0, 1, 3, 5)] == [1, 1, 1, 1]


def test_as_many_options_are_compared_as_tell_questions_apart():
    grammar = Grammar()
    add(grammar, ((1, 2), 1), ((3, 4), 3), ((5, 6), 5), (WEIGHTS, 8))
    add(grammar, ((1, 2), 2), ((3, 4), 3), ((6, 7), 6), (WEIGHTS, 8))
    assert offered(grammar, 0, 1, 3) == [5, 6]
    assert offered(grammar, 0, 2, 3) == [6, 7]
    assert grammar.reach(3) == 2
    assert grammar.reach(5) == 1  # what comes after a distance does not depend on the transform
    assert grammar.reach(1) == 1  # being the first, it is all there is
    assert sorted(offered(grammar, 0, 4, 3)) == [5, 6, 6, 7]  # another context: all of them


def test_the_reach_counts_what_is_decided_further_below():
    grammar = Grammar()
    add(grammar, ((1, 2), 1), ((3, 4), 3), (WEIGHTS, 8), ((5, 6), 5))
    add(grammar, ((1, 2), 2), ((3, 4), 3), (WEIGHTS, 8), ((6, 7), 6))
    assert grammar.reach(8) == 3 and grammar.reach(3) == 2 and grammar.reach(1) == 1


def test_a_trial_that_failed_half_way_is_no_end_where_others_went_on():
    grammar = Grammar()
    add(grammar, ((1, 2), 1))
    assert offered(grammar, 0, 1) == []
    add(grammar, ((1, 2), 1), ((3, 4), 3))
    assert offered(grammar, 0, 1) == [3, 4]


def test_the_table_has_every_state_from_the_ends_on():
    grammar = Grammar()
    add(grammar, ((1, 2), 1), ((3, 4), 3), ((5, 6), 5))
    add(grammar, ((1, 2), 2), ((5, 6), 5))
    near, middle, far = grammar.table().levels
    places = grammar.table().places
    assert places == {(2, ): 0, (3, ): 1, (1, ): 2, (0, ): 3}
    assert near.first == 0 and near.before.tolist() == [2, 2, 3, 3]
    assert near.option.tolist() == [5, 6, 5, 6]
    assert near.after.tolist() == [4, 5, 4, 5]  # an end behind 5, nobody has taken 6
    assert (near.start.tolist(), near.width.tolist()) == ([0, 2], [2, 2])
    assert middle.option.tolist() == [3, 4] and middle.after.tolist() == [1, 5]
    assert far.option.tolist() == [1, 2] and far.after.tolist() == [2, 0]
    before = grammar.table()
    add(grammar, ((1, 2), 1), ((3, 4), 3), ((5, 6), 5))
    assert grammar.table() is before  # nothing new
    add(grammar, ((1, 2), 1), ((3, 4), 4))
    assert grammar.table() is not before


def test_questions_in_a_circle_come_to_an_end():
    grammar = Grammar()
    add(grammar, ((1, 2), 1), ((3, 4), 3))
    add(grammar, ((3, 4), 3), ((1, 2), 1))
    assert grammar.reach(1) >= 1 and offered(grammar, 0, 1)
    assert {(0, ), grammar.state((0, 1)), grammar.state((0, 3))} <= set(grammar.table().places)

from autokd_mm.differing import differing


def test_differing_descends_and_shows_where_long_values_part():
    found = dict(proxy=dict(images=640, seed=0), student='x' * 100 + 'depth=8' + 'y' * 90, a=1)
    expected = dict(proxy=dict(images=320, seed=0), student='x' * 100 + 'depth=20' + 'y' * 90, b=2)
    lines = differing(found, expected)
    assert lines[:3] == ['a: 1 there, null here', 'b: null there, 2 here',
                         'proxy.images: 640 there, 320 here']
    assert 'depth=8y' in lines[3] and 'depth=20y' in lines[3] and len(lines[3]) < 180
    assert differing(dict(a=[1, 2]), dict(a=(1, 2))) == []


def test_long_values_are_cut_around_the_difference():
    """At 60 letters; a third of them from before the difference."""
    whole = differing(dict(a='x' * 57 + '1'), dict(a='x' * 57 + '2'))  # with quotes 60
    assert whole == [f'a: "{"x" * 57}1" there, "{"x" * 57}2" here']
    cut, = differing(dict(a='x' * 58 + '1'), dict(a='x' * 58 + '2'))
    assert cut == f'a: ...{"x" * 20}1" there, ...{"x" * 20}2" here'
    begin, = differing(dict(a='1' + 'x' * 70), dict(a='2'))
    assert begin == f'a: "1{"x" * 58}... there, "2" here'


def test_a_key_that_is_no_dict_on_one_side():
    assert differing(dict(a=dict(b=1)), dict(a=2)) == ['a: {"b": 1} there, 2 here']


def test_a_config_in_another_order_is_the_same():
    one, other = "{'type': 'SGD', 'betas': {'a': 1, 'b': (2, 3)}}", \
        "{'betas': {'b': (2, 3), 'a': 1}, 'type': 'SGD'}"
    assert differing(dict(optim=one), dict(optim=other)) == []
    assert differing(dict(optim=one), dict(optim=other.replace('3', '4')))
    assert differing(dict(optim="{'type': <class 'SGD'>}"), dict(optim="{'type': <class 'Adam'>}"))
    assert differing(dict(optim='{'), dict(optim='{ '))

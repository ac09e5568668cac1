from autokd_mm.bank import differing


def test_differing_descends_and_shows_where_long_values_part():
    found = dict(proxy=dict(images=640, seed=0), student='x' * 100 + 'depth=8' + 'y' * 90, a=1)
    expected = dict(proxy=dict(images=320, seed=0), student='x' * 100 + 'depth=20' + 'y' * 90, b=2)
    lines = differing(found, expected)
    assert lines[:3] == ['a: 1 there, null here', 'b: null there, 2 here',
                         'proxy.images: 640 there, 320 here']
    assert 'depth=8y' in lines[3] and 'depth=20y' in lines[3] and len(lines[3]) < 180
    assert differing(dict(a=[1, 2]), dict(a=(1, 2))) == []

"""How the reasons of :mod:`autokd_mm.space.rules` begin."""
CANNOT = 'cannot work: '
REPEATS = 'repeats: '
OTHER = 'means something else: '

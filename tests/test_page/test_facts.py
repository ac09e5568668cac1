"""What a page knows of a search."""
import math
from pathlib import Path

import optuna
import pytest
from studies_of_searches import make_search

from autokd_mm.page.facts import facts_of, luck
from autokd_mm.search.extrapolation import expected_gain
from autokd_mm.study.about import add_spent, get_spent
from autokd_mm.study.status import FINISHED, open_studies

OLD = Path(__file__).resolve().parents[1] / 'data' / 'version_0_1_0' / 'search'


@pytest.fixture
def facts(tmp_path):
    return facts_of(str(tmp_path), *make_search(tmp_path))


def test_final_round(facts):
    first = facts.entrants[0]
    assert facts.status.phase == FINISHED and facts.top.number == first.number
    # .02 x run + .1, and .05 more; the reward is the mean of two gains that are each as large.
    assert first.rewards == pytest.approx([.17, .19]) and first.mean == pytest.approx(.18)
    assert [round(one.mean, 6) for one in facts.entrants[1:]] == [.13, .13]
    assert first.measured == pytest.approx((.7 * 1.18, .5 * .82)) and first.handcrafted is False
    assert first.gains == pytest.approx(dict(metric=.18, gap=.18)) and first.seconds == 8
    assert first.before == facts.top.value and facts.undistilled == pytest.approx((.7, .5))
    # That of the rewards, which are 0 without a teacher, in units of the metric; of a difference.
    assert facts.metric_spread == pytest.approx(.7 * math.sqrt(2) * first.spread)
    assert facts.metrics[-1] == {4: pytest.approx(.7)} and facts.final_seconds == 64
    assert facts.expected == expected_gain(
        {4 * 5120: first.measured.metric, 5120: facts.top.user_attrs['outcome']['metric']},
        {5120: .7, 4 * 5120: .7}, 40000, 360)


def test_luck_of_seeds():
    """What a seed does to all is no luck of one: the residuals of a two-way table."""
    assert luck([[.1, .2, .3], [.2, .3, .4]]) == pytest.approx(0)
    # Residuals of +-.05 each, four of them, one degree of freedom.
    assert luck([[0., 0.], [.1, -.1]]) == pytest.approx(6.31 * math.sqrt(4 * .05**2))
    assert luck([[.1], [.2]]) is None and luck([[.1, .2]]) is None and luck([]) is None


def test_without_about(tmp_path):
    """A study from before there was any."""
    found = facts_of(str(tmp_path), *make_search(tmp_path, about=None))
    assert found.expected is None and found.entrants[0].handcrafted is None
    assert found.entrants[0].rewards == pytest.approx([.17, .19])


def test_a_share_of_held_out_images(tmp_path, facts):
    """The study says how many that was; one of before says nothing."""
    study, final = open_studies(str(tmp_path))
    study.set_user_attr('search', dict(study.user_attrs['search'],
                                       proxy=dict(images=640, held_out=0.05, epochs=8)))
    old = facts_of(str(tmp_path), study, final)
    assert old.held_out == 0 and old.expected is None
    study.set_user_attr('about', dict(study.user_attrs['about'], held_out=360))
    found = facts_of(str(tmp_path), study, final)
    assert found.held_out == 360 and found.expected == facts.expected is not None


def test_a_final_round_that_has_begun(tmp_path):
    study, final = make_search(tmp_path)
    study.set_user_attr('about', dict(study.user_attrs['about'], final=dict(
        reward=dict(metric=1.), seeds=3, handcrafted=[])))
    assert not facts_of(str(tmp_path), study, final).entrants


def test_a_final_round_within_a_budget(tmp_path):
    """Who has run with fewer seeds stands behind, and it is shown from its first run on."""
    study, final = make_search(tmp_path)
    study.set_user_attr('about', dict(study.user_attrs['about'], final=dict(
        reward=dict(metric=1.), seeds=3, handcrafted=[], budget=40)))
    found = facts_of(str(tmp_path), study, final)
    assert [len(one.rewards) for one in found.entrants] == [2, 2, 2]
    only = [trial for trial in final.trials if trial.user_attrs['seed'] != 2
            or trial.user_attrs['candidate'] in (-1, found.entrants[1].number)]
    assert len(only) < len(final.trials)
    other = optuna.create_study()
    other.add_trials(only)
    later = facts_of(str(tmp_path), study, other).entrants
    assert [one.number for one in later][0] == found.entrants[1].number
    assert [len(one.rewards) for one in later] == [2, 1, 1]
    assert later[1].spread == pytest.approx(math.sqrt(2) * later[0].spread)


def test_no_study_yet_and_an_old_one(tmp_path):
    found = facts_of(str(tmp_path), None, None)
    assert found.top is None and found.epochs == 0
    old = facts_of(str(OLD), *open_studies(str(OLD)))
    assert old.top is not None and old.baseline is not None and old.epochs


def test_seconds_are_added_up(tmp_path):
    study, _ = make_search(tmp_path, 2)
    add_spent(study, dict(teacher=.01, bank=1.))
    assert get_spent(study) == dict(teacher=20., bank=4.)

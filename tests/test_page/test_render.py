"""Pages of good and of odd studies."""
import html
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from studies_of_searches import ABOUT, BASELINE, make_search

from autokd_mm.engine.final_settings import FinalSettings
from autokd_mm.errors import ConfigError
from autokd_mm.page import facts, facts_of, meaning, page, write_page
from autokd_mm.page.render import duration, number, percent, signed
from autokd_mm.page.sections import _length
from autokd_mm.search import MCTSSampler
from autokd_mm.search.extrapolation import Expected
from autokd_mm.search.prior import Belief, Prior
from autokd_mm.search.remembered import PRIOR
from autokd_mm.space import DistillerSpec
from autokd_mm.space.options import DEFAULT_OPTIONS, NUMERIC_LEVELS
from autokd_mm.study import study as studies
from autokd_mm.study.about import add_spent
from autokd_mm.study.status import open_studies
from autokd_mm.study.study import open_study

pytest.importorskip('jinja2')
OLD = Path(__file__).resolve().parents[1] / 'data' / 'version_0_1_0' / 'search'
SECTIONS = ['answer', 'sure', 'mattered', 'tree', 'course', 'trials', 'cost', 'networks', 'maps',
            'repeat']


class Read(HTMLParser):
    """Sections in order, and the tags that are left open."""
    VOID = {'meta', 'link', 'br', 'img'}

    def __init__(self, text):
        super().__init__()
        self.sections, self.open, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == 'section':
            self.sections.append(dict(attrs)['id'])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(text):
    """A whole page that loads nothing and runs nothing."""
    read = Read(text)
    assert read.sections == SECTIONS and not read.open and 'script' not in read.tags
    assert not re.search(r'(src|href|url\()="?https?:', text)
    return text


def of(folder, *opened):
    return checked(page(facts_of(str(folder), *opened)))


def commands(text):
    """As they are copied."""
    return [html.unescape(re.sub('<[^>]*>', '', one))
            for one in re.findall('<pre>(.*?)</pre>', text)]


def test_a_finished_search(tmp_path):
    folder = tmp_path / 'my digits'
    folder.mkdir()
    text = of(folder, *make_search(folder))
    assert '+12.6 ± 1.2 points' in text and 'expected in the full training of 30 epochs' in text
    assert commands(text) == [
        f"autokd search '{folder}/digits.py' --work-dir '{folder}' --resume --trials 42 "
        "--cfg-options 'train_cfg.warm_start=[KD,AT]'",
        f"autokd train '{folder}/best_distiller.py'",
        f"autokd search '{folder}/digits.py' --work-dir '{folder}_again'"]
    assert 'clearly better than the same student' in text and '(none took part)' in text
    assert 'the mean gain in accuracy (+0.18) and gap (+0.18)' in text
    assert 'accuracy 82.6 % · gap 0.410' in text and 'seeds +0.17, +0.19' in text
    assert 'All 40 trials' in text and 'rejected' in text and text.count('<svg viewBox') == 2
    assert 'not over' not in text and '16 × 2 × 2' in text
    assert re.search(r'<td>teacher&#39;s training</td>.*20 s</td>', text)


def test_a_final_round_as_long_as_a_trial_is_called_by_its_name():
    facts = SimpleNamespace(epochs=8)
    assert [_length(facts, what, times) for what, times in (
        ('trial', 1), ('final round', 1), ('final round', 4))] == [
            'trial, 8 epochs', 'final round, 8 epochs', 'final round, 32 epochs']
    facts.epochs = None
    assert _length(facts, 'final round', 4) == 'final round, 4 x the proxy'


def test_what_stands_out_and_what_the_winner_has(tmp_path):
    """Made up so that a weight of 5 is bad; the winner has something else there."""
    opened = make_search(tmp_path, 60)
    text = of(tmp_path, *opened)
    told = re.search('What stands out of 60 trials: (.*?); of options', text).group(1)
    assert '<b>weight of the logits 5</b> (\u2212' in told
    marked = re.findall('class="w">([^<]*) <small>[^<]*</small> <span class="tag">winner', text)
    taken = facts_of(str(tmp_path), *opened).top.params.values()
    assert len(marked) > 3 and set(marked) <= {meaning.option_text(value) for value in taken}
    assert 'ring: the winner, which the final round chose' in text


def test_an_expected_gain_that_may_be_none(tmp_path, monkeypatch):
    opened = make_search(tmp_path)
    text = of(tmp_path, *opened)
    assert 'it may lose' not in text and '--twin' not in commands(text)[1]
    monkeypatch.setattr(facts, 'expected_gain', lambda *_: Expected(.01, .02, 2.))
    text = of(tmp_path, *opened)
    assert 'it may lose: what is expected there reaches down to −1.0 points' in text
    assert commands(text)[0].endswith(' train_cfg.final_round.seeds=4')
    assert commands(text)[1].endswith('best_distiller.py --twin')
    monkeypatch.setattr(facts, 'expected_gain', lambda *_: Expected(-.01, .02, 2.))
    assert 'In the full training no gain is expected.' in of(tmp_path, *opened)


def test_more_seeds_are_within_the_budget(tmp_path, monkeypatch):
    """That of a round of three; otherwise one of them would be left out."""
    study, final = make_search(tmp_path)
    monkeypatch.setattr(facts, 'expected_gain', lambda *_: Expected(.01, .02, 2.))
    about = dict(ABOUT, final=dict(ABOUT['final'], budget=28, handcrafted=[dict(distance='l1')]))
    study.set_user_attr('about', about)
    words = commands(of(tmp_path, study, final))[0]
    assert words.endswith(' train_cfg.final_round.seeds=4 train_cfg.final_round.budget=52')
    settings = FinalSettings.from_config(dict(seeds=4, budget=52))
    assert settings.steps(3) == [(4, 1), (4, 4)]
    study.set_user_attr('about', dict(about, final=dict(about['final'], budget=52)))
    assert commands(of(tmp_path, study, final))[0].endswith(' train_cfg.final_round.seeds=4')


def test_what_trials_and_final_round_say(tmp_path):
    """The best of three trials ends behind another one."""
    study, final = make_search(tmp_path)
    rejected = sum(studies.is_rejected(trial) for trial in study.get_trials())
    studies.set_plan(study, 40 - rejected, rejected, 16)
    text = of(tmp_path, study, final)
    best = sorted((trial.value, -trial.number) for trial in study.get_trials()
                  if trial.value is not None)[-3:]
    assert f'these 3 gained {best[0][0]:+.3f} to {best[2][0]:+.3f}; here 3 of them gain.' in text
    assert '1 of 3 pairs stand in the same order as there (1.5 would be chance)' in text
    assert f'({best[2][0]:+.3f}); none of the {39 + best[2][1]} behind it was better' in text
    assert f'{40 - rejected} of {40 - rejected} trials, and {rejected} rejected ones' in text
    groups = re.findall('class="group">([^<,:]*)', text)
    assert groups == ['Final round', 'Ran to their end', 'Pruned', 'Rejected']


def test_hand_crafted_methods_that_took_part_are_not_asked_for_again(tmp_path):
    study, final = make_search(tmp_path)
    found = facts_of(str(tmp_path), study, final)
    study.set_user_attr('about', dict(study.user_attrs['about'], final=dict(
        reward=dict(metric=1.), seeds=2, handcrafted=[found.top.params])))
    text = of(tmp_path, study, final)
    assert 'hand-crafted</span>' in text and not any('warm_start' in one for one in commands(text))


def test_a_method_that_the_space_lacks_is_not_asked_for(tmp_path):
    study, final = make_search(tmp_path)
    study.set_user_attr('search', dict(study.user_attrs['search'], space=dict(
        transform=['none', 'logits_only'], logits_weight=[.1, 1])))
    assert "'train_cfg.warm_start=[KD]'" in commands(of(tmp_path, study, final))[0]


def test_commands_for_where_one_is(tmp_path, monkeypatch):
    (tmp_path / 'work').mkdir()
    opened = make_search(tmp_path / 'work')
    monkeypatch.chdir(tmp_path)
    text = of(tmp_path / 'work', *opened)
    assert 'autokd train work/best_distiller.py' in commands(text)
    assert f'Run in <code>{tmp_path}</code>' in text


def test_costs_add_up_as_they_are_told(tmp_path):
    study, _ = make_search(tmp_path, final=False)
    studies.set_baseline(study, dict(BASELINE, seconds=2.4))
    add_spent(study, dict(teacher=.4, bank=.4))
    costs = re.findall('<td class="n">(?:<b>)?(?:([0-9]+) min )?([0-9]+) s', of(
        tmp_path, study, None).partition('id="cost"')[2].partition('</table>')[0])
    *parts, total = [60 * int(minutes or 0) + int(seconds) for minutes, seconds in costs]
    assert len(parts) == 5 and sum(parts) == total


def test_what_a_distance_looks_along():
    told = [{one.name: one.about for _, settings in meaning.recipe(
        DistillerSpec(transform='none', connector='identity', intra='none', inter='sample',
                      distance=distance, feature_weight=1)) for one in settings}['compared along']
        for distance in ('l2', 'pearson', 'gram_l2')]
    assert told[0].startswith('each value is divided') and len(set(told)) == 3


def test_every_option_that_does_something_is_said_in_words():
    for level in set(DEFAULT_OPTIONS) - set(NUMERIC_LEVELS):
        silent = {'none', 'identity', 'logits_only', 'constant'}
        assert set(DEFAULT_OPTIONS[level]) - silent <= set(meaning.OPTIONS.get(level, {})), level


def test_what_was_believed(tmp_path):
    study, final = make_search(tmp_path)
    assert 'began without a prior' in of(tmp_path, study, final)
    prior = Prior({('logits', "'kl'"): Belief(.3, 8.), ('logits', "'none'"): Belief(-.2, 8.),
                   ('logits', "'of another search'"): Belief(.1, 8.)})
    study.set_user_attr(PRIOR, prior.to_json())
    text = of(tmp_path, study, final)
    assert 'trials say little about that: it was believed to 60 % before the first one' in text
    assert re.search('kl \\+0.30.*none \u22120.20', text) and 'of another search' not in text
    assert 'The winner has what was thought best in 1 of 1 questions.' in text
    study.set_user_attr(PRIOR, 'of another version')
    assert 'began without a prior' in of(tmp_path, study, final)


def test_between_two_runs_a_search_is_not_stopped(tmp_path):
    """No run is under way when the search itself writes its page."""
    study, _ = make_search(tmp_path, 5, final=False)
    studies.set_plan(study, 8, 0, 16)
    assert 'not over (stopped)' in of(tmp_path, study, None)
    assert 'not over (searching)' in of(tmp_path, study, None, True)
    studies.set_plan(study, 5, 0, 16)
    (tmp_path / 'best_distiller.py').unlink(missing_ok=True)
    assert 'not over (final round)' in of(tmp_path, study, None, True)


def test_while_it_runs(tmp_path):
    study, _ = make_search(tmp_path, 5, final=False)
    study.ask()
    text = of(tmp_path, study, None)
    assert 'The search is not over' in text and 'No final round yet' in text
    assert f'autokd search {tmp_path}/digits.py --work-dir {tmp_path} --resume' in commands(text)


def test_before_the_first_trial(tmp_path):
    of(tmp_path, None, None)
    study = open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1))
    assert 'Nothing yet' in of(tmp_path, study, None)


def test_failed_trials_only(tmp_path):
    study = open_study(str(tmp_path), MCTSSampler(seed=0), dict(a=1))
    studies.set_baseline(study, BASELINE)
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=dict(reason='loss is NaN')))
    text = of(tmp_path, study, None)
    assert 'Nothing yet' in text and 'loss is NaN' in text and '1 failed' in text


def test_an_old_study():
    text = of(OLD, *open_studies(str(OLD)))
    assert 'does not say which config' in text


def test_odd_values(tmp_path):
    """Outcomes of another version, infinite rewards, a spec that nobody knows."""
    study, _ = make_search(tmp_path, 4, final=False)
    study.add_trial(create_trial(value=float('inf'), user_attrs=dict(outcome=dict(gap=1.))))
    study.add_trial(create_trial(value=.5, user_attrs=dict(outcome=dict(BASELINE, new_term=1.))))
    of(tmp_path, study, None)


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    text = of(tmp_path, *make_search(tmp_path))
    assert text.count('pip install matplotlib') == 2 and '<svg viewBox' not in text


def test_without_jinja2(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'jinja2', None)
    with pytest.raises(ConfigError, match='pip install jinja2'):
        write_page(str(tmp_path), None, None)
    assert not list(tmp_path.iterdir())


def test_pictures(tmp_path):
    opened = make_search(tmp_path, 10, final=False)
    path = tmp_path / f'maps_trial_{facts_of(str(tmp_path), *opened).top.number}.png'
    path.write_bytes(b'\x89PNG....')
    assert 'data:image/png;base64,iVBORy4uLi4=' in of(tmp_path, *opened)
    path.write_bytes(b'<svg onload=alert(1)>')
    assert '<img' not in of(tmp_path, *opened)


def test_a_thousand_trials_are_small(tmp_path):
    text = of(tmp_path, *make_search(tmp_path, 1000, storage=optuna.storages.InMemoryStorage()))
    assert len(text) < 3 * 2**20 / 2
    assert 'The best 100 trials' in text and '900 more are in leaderboard.csv' in text
    assert 'curves are left out' in text


@pytest.mark.parametrize('found, expected', [
    (signed(.2), '+0.200'), (signed(-.2, 1), '−0.2'), (signed(None), '–'),
    (number(float('nan')), '–'), (percent(.5, '.1f'), '50.0'), (duration(None), '–'),
    (duration(59), '59 s'), (duration(61), '1 min 1 s'), (duration(599.9), '9 min 59 s'),
    (duration(601), '10 min'), (signed(-.0001), '0.000'), (duration(3660), '1 h 1 min')])
def test_numbers(found, expected):
    assert found == expected

"""The page in a real browser."""
import pytest
from optuna.trial import TrialState, create_trial
from studies_of_searches import make_search

from autokd_mm.page import write_page
from autokd_mm.search.remembered import PRIOR
from autokd_mm.study.about import set_about

sync_api = pytest.importorskip('playwright.sync_api')
pytest.importorskip('jinja2')
WIDTHS = (375, 1440)
# What could make a page wider than the screen.
WIDER = '''() => [...document.querySelectorAll("body *")].filter(
    one => !one.closest(".wide, svg, pre") && one.getBoundingClientRect().right
           > document.documentElement.clientWidth + 1).map(one => one.outerHTML.slice(0, 200))'''


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp('digits')
    return write_page(str(folder), *make_search(folder, 60))


@pytest.fixture
def look(browser, path):
    """Opens the page at a width; at the end nothing may have been complained about."""
    pages, told = [], []

    def look(width, file=path, **how):
        page = browser.new_page(viewport=dict(width=width, height=800), **how)
        page.on('console', lambda message: told.append(message.text))
        page.on('pageerror', lambda error: told.append(str(error)))
        page.on('request', lambda one: one.url.startswith(('file:', 'data:'))
                or told.append(one.url))
        page.goto(f'file://{file}')
        pages.append(page)
        return page

    yield look
    for page in pages:
        page.close()
    assert not told


@pytest.mark.parametrize('width', WIDTHS)
def test_nothing_is_wider_than_the_screen(look, width):
    page = look(width)
    page.evaluate('document.querySelectorAll("details").forEach(one => { one.open = true })')
    assert page.evaluate('document.documentElement.scrollWidth') == width
    assert page.evaluate(WIDER) == []
    assert page.locator('section').count() == 10 and page.locator('figure svg').count() == 2


def test_folds_and_links(look):
    page = look(1440)
    fold = page.locator('.tree details').first.locator('details').first
    below = fold.locator(':scope > .leaf, :scope > details').first
    assert not below.is_visible()
    fold.locator('summary').first.click()
    assert below.is_visible()
    fold.locator('summary').first.click()
    assert not below.is_visible()
    links = page.locator('nav a')
    assert links.count() == 10
    for index in range(links.count()):
        target = links.nth(index).get_attribute('href')
        assert page.locator(target).count() == 1
    links.nth(9).click()
    sync_api.expect(page.locator('#repeat h2')).to_be_in_viewport()
    assert page.url.endswith('#repeat')


def test_a_command_is_selected_by_a_click(look):
    page = look(375)
    told = page.locator('pre')
    told.last.click()
    assert page.evaluate('getSelection().toString()').split()[:2] == ['autokd', 'search']
    # Lines break between words alone: each word is one box.
    assert told.evaluate_all('all => all.every(one => [...one.querySelectorAll("span")].every('
                             'word => word.getClientRects().length == 1))')


def test_by_night_and_on_paper(look):
    ink = {look(1440, color_scheme=scheme).evaluate('getComputedStyle(document.body).color')
           for scheme in ('light', 'dark')}
    assert len(ink) == 2
    page = look(1440)
    page.emulate_media(media='print')
    assert not page.locator('nav').is_visible() and page.locator('#sure .row').first.is_visible()


def test_words_with_html_do_not_run(look, tmp_path):
    bad = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    study, final = make_search(tmp_path, 12)
    study.set_user_attr('teacher_metrics', {bad: 98.5})
    study.set_user_attr(PRIOR, {bad: {bad: [.1, 4.]}})
    set_about(study, dict(differences=[bad], config=bad, machine=bad, packages={bad: bad},
                          layers=[dict(name=bad, student=bad, teacher=bad, student_shape=[bad],
                                       teacher_shape=[1])]))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=dict(
        reason=bad, spec=dict(transform=bad, distance=bad, feature_weight=1))))
    page = look(375, write_page(str(tmp_path), study, final))
    page.wait_for_timeout(100)
    assert 'the distiller that was found' in page.title()
    assert page.locator('img, script').count() == 0
    assert page.locator(f'text={bad[:20]}').count() > 3

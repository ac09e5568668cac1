"""What optuna.visualization and optuna-dashboard make of the view of a search."""
import json
import threading
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import pytest
from optuna.trial import TrialState

from autokd_mm.space import DistillerSpace
from autokd_mm.study import study as studies
from autokd_mm.study.view import VIEW, View

REWARD = 0.04  # of the winner, behind the final round
SPACE = DistillerSpace()


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Path of the view of a search in which the transform is all that matters, and its winner."""
    folder = tmp_path_factory.mktemp('search')
    search = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1),
                                 direction='maximize')
    search.set_user_attr('search', dict(
        space={level: list(options) for level, options in SPACE.levels()}))
    for number in range(60):
        trial = search.ask()
        spec = SPACE.suggest(trial)
        trial.set_user_attr(studies.SPEC, spec.to_dict())
        trial.set_user_attr(studies.OUTCOME, dict(held_out_loss=1.0, gap=0.5, metric=0.5,
                                                  seconds=1.0))
        value = 0.1 * (spec.transform == 'none') + 0.001 * (number % 7)
        trial.report(value / 2, 4)
        if number % 9 == 8:
            search.tell(trial, state=TrialState.PRUNED)
        else:
            search.tell(trial, value)
    best, second = sorted((trial for trial in search.trials if trial.state == TrialState.COMPLETE),
                          key=lambda trial: trial.value)[:-3:-1]
    view = View(str(folder / 'view.journal'))
    assert view.update(search, {best.number: (4, 0.03), second.number: (4, REWARD)}) == 60
    return view.path, second.number


@pytest.fixture(scope='module')
def view(made):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(made[0]))
    return optuna.load_study(storage=storage, study_name=VIEW)


def test_importances(view):
    found = optuna.importance.get_param_importances(
        view, evaluator=optuna.importance.PedAnovaImportanceEvaluator())
    assert set(found) == {level for level, _ in SPACE.levels()}
    assert next(iter(found)) == 'transform'


def test_curves_and_importances_are_drawn(view):
    pytest.importorskip('plotly')
    plots = optuna.visualization
    history = plots.plot_optimization_history(view)
    assert max(history.data[0].y) == REWARD == view.best_value
    bars = plots.plot_param_importances(
        view, evaluator=optuna.importance.PedAnovaImportanceEvaluator())
    assert bars.data[0].y[-1] == 'transform'  # from below
    assert len(plots.plot_intermediate_values(view).data) == 60
    shown = {str(option).strip("'") for part in
             plots.plot_slice(view, params=['transform', 'temperature']).data for option in part.x}
    assert {'none', 'random_mask', '-', '4', '16'} <= shown
    assert plots.plot_contour(view, params=['transform', 'distance']).data
    assert plots.plot_parallel_coordinate(view, params=['transform', 'logits']).data
    assert plots.plot_timeline(view).data


def test_dashboard(made):
    """Asked over HTTP, as its page asks."""
    dashboard = pytest.importorskip('optuna_dashboard')

    class Quiet(WSGIRequestHandler):

        def log_message(self, *args):
            pass

    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(made[0]))
    with make_server('127.0.0.1', 0, dashboard.wsgi(storage), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(question):
            with urlopen(f'http://127.0.0.1:{server.server_port}/api/{question}') as answer:
                return json.load(answer)

        try:
            study, = ask('studies')['study_summaries']
            assert study['study_name'] == VIEW
            found = ask(f'studies/{study["study_id"]}')
            importances, = ask(f'studies/{study["study_id"]}/param_importances')[
                'param_importances']
        finally:
            server.shutdown()
            thread.join()
    best, = found['best_trials']
    assert best['number'] == made[1] and best['values'] == [REWARD]
    assert found['objective_names'] == ['reward'] and found['directions'] == ['maximize']
    assert len(found['trials']) == 60
    assert importances[0]['name'] == 'transform'
    assert {one['name'] for one in importances} == {level for level, _ in SPACE.levels()}
    assert {'distiller', 'metric_percent', 'duration_seconds'} <= {
        one['key'] for one in found['union_user_attrs']}
    assert len(found['intersection_search_space']) == len(SPACE.levels())

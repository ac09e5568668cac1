import zlib

import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from autokd_mm.search import MCTSSampler
from autokd_mm.space import LEVELS, DistillerSpace, DistillerSpec, Shapes
from autokd_mm.space.handcrafted import HANDCRAFTED, WITH_BOXES
from autokd_mm.space.options import BOX_LEVELS, BOX_TRANSFORMS
from autokd_mm.space.predictions import PREDICTION_LEVELS
from autokd_mm.space.schedules import SCHEDULE_LEVELS
from autokd_mm.space.start import START_LEVELS
from autokd_mm.space.teachers import TEACHER_LEVELS
from autokd_mm.space.walk import walk

BOX_TRANSFORM, = BOX_TRANSFORMS
# Asked where something is there.
RARE = SCHEDULE_LEVELS + TEACHER_LEVELS + PREDICTION_LEVELS + START_LEVELS

optuna.logging.set_verbosity(optuna.logging.ERROR)
SAMPLERS = dict(random=RandomSampler, tpe=TPESampler, mcts=MCTSSampler)


def value_of(spec):
    """Any number that depends on the distiller."""
    return sum(hash_of(item) for item in spec.to_dict().items())


def hash_of(item):
    return sum(ord(letter) for letter in str(item)) % 17 / 17


def spec(**options):
    return DistillerSpec.from_dict(dict(dict(
        transform='none', connector='identity', intra='none', inter='none', distance='l2',
        feature_weight=1), **options))


# ---------------------------------------------------------------------- under Optuna
@pytest.mark.parametrize('sampler', SAMPLERS)
@pytest.mark.parametrize('storage', ['memory', 'journal'])
def test_300_trials_under_any_sampler(sampler, storage, tmp_path, monkeypatch):
    """Optuna refuses a parameter whose choices change; some are offered only in part."""
    monkeypatch.setattr('os.fsync', lambda file: None)  # nobody pulls the plug here
    if storage == 'journal':
        storage = JournalStorage(JournalFileBackend(str(tmp_path / 'study.journal')))
    else:
        storage = None
    # 7x7: 4x4 grids cut unequal patches; options are restricted in many places.
    space = DistillerSpace(shapes=Shapes(height=7, width=7))
    study = optuna.create_study(storage=storage, sampler=SAMPLERS[sampler](seed=0),
                                direction='maximize')
    study.optimize(lambda trial: value_of(space.suggest(trial)), n_trials=300)
    specs = [space.suggest(optuna.trial.FixedTrial(trial.params)) for trial in study.trials]
    assert len(specs) == 300 and len(set(specs)) > 50
    for trial, found in zip(study.trials, specs):
        assert space.params(found) == trial.params
        assert trial.value == value_of(found)


@pytest.mark.parametrize('sampler', SAMPLERS)
def test_any_sampler_on_any_tensors(sampler, shapes):
    space = DistillerSpace(shapes=shapes)
    study = optuna.create_study(sampler=SAMPLERS[sampler](seed=1), direction='maximize')
    study.optimize(lambda trial: value_of(space.suggest(trial)), n_trials=25)
    names = {name for trial in study.trials for name in trial.params}
    assert {name.split('(')[0] for name in names} <= set(LEVELS)


def test_one_study_serves_one_space_in_any_process(tmp_path, monkeypatch):
    """The names of the parameters come from the options and the tensors alone."""
    monkeypatch.setattr('os.fsync', lambda file: None)
    path = str(tmp_path / 'study.journal')
    for seed in range(3):
        study = optuna.create_study(storage=JournalStorage(JournalFileBackend(path)),
                                    study_name='one', load_if_exists=True,
                                    sampler=TPESampler(seed=seed, n_startup_trials=5))
        space = DistillerSpace(shapes=Shapes(height=4, width=4))
        study.optimize(lambda trial, space=space: value_of(space.suggest(trial)), n_trials=30)
    assert len(study.trials) == 90


# ---------------------------------------------------------------------- count, enumerate
def test_count_is_the_number_of_distinct_specs(shapes, small):
    space = DistillerSpace(small, shapes)
    specs = list(space.enumerate())
    assert space.count() == len(specs) == len(set(specs)) > 0
    for found in specs[::max(1, len(specs) // 50)]:
        space.validate(found)


@pytest.mark.parametrize('options', [
    dict(distance=['kl'], transform=['none'], logits=['none']),
    dict(transform=['logits_only']),
    dict(transform=['random_mask'], mask_ratio=[0.4, 0.6], logits=['none', 'kl']),
    dict(intra=['local'], patch_grid=[3], connector=['conv1x1'], feature_weight=[2.5],
         logits=['pearson_both'], temperature=[1, 2, 3]),
])
def test_count_of_reduced_spaces(options):
    space = DistillerSpace(options)
    specs = list(space.enumerate())
    assert space.count() == len(specs) == len(set(specs)) > 0
    for level, choices in options.items():
        assert {getattr(found, level) for found in specs} - {None, 'none'} <= set(choices)


def test_the_space_of_the_supplement_has_104064_distillers(supplement):
    """Counted by hand, with four temperatures wherever there is kl.

    Distances after no transform, by inter: none l2, cosine, pearson, 4 kl; sample l2, pearson,
    4 kl, gram_l2; channel the same. After patches less what patches leave as it is: none cosine,
    pearson; sample 4 kl, gram_l2; channel all.
    """
    whole, patches = 7 + 7 + 7, 2 + 5 + 7
    plain = whole + whole + 2 * patches  # intra: none, multi_scale, local at two grids
    # One map of unit norm: no softmax over one channel, no Gram of one channel; cosine and
    # channel-wise l2 repeat l2 until pooling or cutting changes the norms.
    spatial = (2 + 7 + 1) + (3 + 7 + 2) + 2 * (2 + 5 + 2)
    # One position: none l2, cosine, pearson, 4 kl; sample l2, pearson, gram_l2.
    channel = 7 + 3
    # none, attention_mask, random_mask at three ratios
    features = ((1 + 1 + 3) * plain + spatial + channel) * 4  # weights
    logits = 4 * 4 * 4  # distance, temperature, weight
    assert features * (1 + logits) + logits == 104_064 == supplement.count()


def test_the_default_space():
    space = DistillerSpace()
    assert space.count() == 506_544
    assert [level for level, _ in space.levels()] == [
        level for level in LEVELS if level not in BOX_LEVELS + RARE]


def questions(space):
    """Every parameter name with its choices."""
    asked = {}

    class Asked:

        def __init__(self, trial):
            self.trial = trial

        def suggest_categorical(self, name, choices):
            assert asked.setdefault(name, choices) == choices
            return self.trial.suggest_categorical(name, choices)

    for _ in walk(lambda trial: space._suggest_feature(Asked(trial))):
        pass
    for transform in ('none', 'logits_only'):
        for _ in walk(lambda trial, name=transform: space._suggest_logits(Asked(trial), name)):
            pass
    return asked


def test_a_space_without_boxes_is_what_it_was_before_there_were_regions():
    """Names and choices of all parameters, the levels and the shapes that a study is known by."""
    assert questions(DistillerSpace()) == {
        'transform': ('logits_only', 'none', 'spatial_attention', 'channel_attention',
                      'attention_mask', 'random_mask'),
        'mask_ratio': (0.5, 0.65, 0.75),
        'connector': ('identity', 'conv1x1', 'conv1x1_bn', 'conv3x3'),
        'intra': ('none', 'multi_scale', 'local'), 'patch_grid': (2, 4),
        'inter': ('none', 'sample', 'channel'), 'inter(none|sample)': ('none', 'sample'),
        'distance(l2|pearson)': ('l2', 'pearson'),
        'distance(l2|cosine|pearson)': ('l2', 'cosine', 'pearson'),
        'distance(l2|cosine|pearson|kl)': ('l2', 'cosine', 'pearson', 'kl'),
        'distance(cosine|pearson|local_correlation)': ('cosine', 'pearson', 'local_correlation'),
        'distance(l2|pearson|kl|gram_l2)': ('l2', 'pearson', 'kl', 'gram_l2'),
        'distance(l2|pearson|kl|gram_l2|rkd_distance|rkd_angle|correlation)': (
            'l2', 'pearson', 'kl', 'gram_l2', 'rkd_distance', 'rkd_angle', 'correlation'),
        'distance(kl|gram_l2|rkd_distance|rkd_angle|correlation)': (
            'kl', 'gram_l2', 'rkd_distance', 'rkd_angle', 'correlation'),
        'distance(l2|pearson|gram_l2|rkd_distance|rkd_angle|correlation)': (
            'l2', 'pearson', 'gram_l2', 'rkd_distance', 'rkd_angle', 'correlation'),
        'temperature': (1, 4, 8, 16), 'feature_weight': (1, 5, 25, 50),
        'logits': ('none', 'kl', 'pearson_inter', 'pearson_intra', 'pearson_both'),
        'logits(kl|pearson_inter|pearson_intra|pearson_both)': (
            'kl', 'pearson_inter', 'pearson_intra', 'pearson_both'),
        'logits_temperature': (1, 4, 8, 16), 'logits_weight': (0.1, 0.5, 1, 5)}
    assert {name: value for name, value in vars(Shapes()).items() if value is not None} == dict(
        batch=64, channels=64, height=8, width=8, classes=100, same=True, has_logits=True)
    assert not any(BOX_TRANSFORM in options for _, options in DistillerSpace().levels())


def test_the_space_with_boxes_counted_by_hand(with_boxes):
    """What the whole map has, the same of the instances, and what weights leave of distances.

    Weighted, by intra none, multi_scale, local at two grids: l2 (not local) and cosine of none, l2
    and gram_l2 of channel; gram_l2 not of the one channel of spatial attention. Instances are 7x7:
    on a 4x4 grid no local correlation of spatial attention, whose smallest patch is one number.
    """
    logits = 1 + 4 * 4 * 4
    whole = 506_544 - (logits - 1)
    instances = whole - 4 * 4 * logits  # connectors, weights
    plain, spatial = 4 + 4 + 2 * 3, 3 + 3 + 2 * 2
    # none, attention_mask, teacher_attention_mask, random_mask at three ratios
    weighted = ((1 + 1 + 1 + 3) * plain + spatial) * 4 * 4 * logits
    assert with_boxes.count() == whole + instances + weighted + logits - 1 == 1_109_744
    assert [level for level, _ in with_boxes.levels()] == [
        level for level in LEVELS if level not in RARE]


def test_a_spec_of_the_whole_map_is_the_same_with_and_without_boxes(small):
    plain = set(DistillerSpace(small).enumerate())
    boxes = set(DistillerSpace(small, Shapes(boxes=True)).enumerate())
    assert {found for found in boxes if found.region is None} == plain
    assert {found.region for found in boxes - plain} == {'foreground_background', 'instances'}
    one = spec()
    assert spec(region='all') == one and hash(spec(region='all')) == hash(one)
    assert 'region' not in DistillerSpace().params(one)
    assert DistillerSpace(shapes=Shapes(boxes=True)).params(one)['region'] == 'all'


def test_regions_are_asked_where_there_are_boxes():
    names = questions(DistillerSpace(shapes=Shapes(boxes=True)))
    assert names['region'] == ('all', 'foreground_background', 'instances')
    assert names['region(all|instances)'] == ('all', 'instances')  # after channel attention
    assert names['transform'][-1] == BOX_TRANSFORM
    assert not any('background_weight' in name for name in names)  # one option is no question
    wider = questions(DistillerSpace(dict(background_weight=[0, 0.5]), Shapes(boxes=True)))
    assert wider['background_weight'] == (0, 0.5)
    found = DistillerSpace(dict(region='instances', transform=['none', BOX_TRANSFORM]),
                           Shapes(boxes=True))
    assert {one.region for one in found.enumerate()} == {'instances'}
    assert {one.transform for one in found.enumerate()} == {'none'}


def test_one_position_has_no_regions():
    lines = []
    space = DistillerSpace(shapes=Shapes(height=1, width=1, boxes=True), log=lines.append)
    assert space.count() == DistillerSpace(shapes=Shapes(height=1, width=1)).count()
    assert 'region=instances is left out: cannot work: the feature has one position' in lines


def test_the_method_of_hand_crafted_points():
    space = DistillerSpace()
    for point in HANDCRAFTED.values():
        space.validate(point)


def test_the_method_of_hand_crafted_points_with_boxes(with_boxes):
    for point in list(HANDCRAFTED.values()) + list(WITH_BOXES.values()):
        with_boxes.validate(point)


# ---------------------------------------------------------------------- params
@pytest.mark.parametrize('sampler', SAMPLERS)
def test_an_enqueued_spec_is_what_suggest_returns(sampler, shapes, small):
    space = DistillerSpace(small, shapes)
    specs = list(space.enumerate())
    specs = specs[::max(1, len(specs) // 12)]
    study = optuna.create_study(sampler=SAMPLERS[sampler](seed=0))
    for wanted in specs:
        study.enqueue_trial(space.params(wanted))
    assert [space.suggest(study.ask()) for _ in specs] == specs


def test_a_spec_that_was_stored_as_numbers_of_another_type():
    """JSON and configs may turn 1 into 1.0."""
    study, space = optuna.create_study(), DistillerSpace()
    study.enqueue_trial(space.params(spec(feature_weight=25.0)))
    assert space.suggest(study.ask()).feature_weight == 25


# ---------------------------------------------------------------------- what is not offered
def test_options_that_cannot_work_are_not_offered_and_the_log_says_why_once(small):
    lines = []
    space = DistillerSpace(small, Shapes(2, 16, 2, 2, 2, False), log=lines.append)
    specs = list(space.enumerate())
    said = list(lines)
    assert space.count() == len(specs) and list(space.enumerate()) == specs and lines == said
    assert len(set(lines)) == len(lines) and not any('\n' in line for line in lines)
    assert 'connector=identity is left out: cannot work: student and teacher differ in shape' \
        in lines
    assert ('patch_grid=4 after intra=local is left out: cannot work: a 4x4 grid needs a map of at '
            'least 4x4') in lines
    assert ('distance=rkd_angle after inter=sample is left out: cannot work: it needs three samples'
            ) in lines
    assert ('logits=pearson_inter is left out: cannot work: a correlation over classes needs three '
            'classes') in lines
    for level, option in (('connector', 'identity'), ('patch_grid', 4), ('logits', 'pearson_inter'),
                          ('distance', 'rkd_angle')):
        assert option not in {getattr(found, level) for found in specs}


def test_what_any_tensors_leave_out_is_not_logged():
    lines = []
    DistillerSpace(log=lines.append).count()
    assert lines == []


def test_without_logits_every_distiller_has_a_feature(small):
    space = DistillerSpace(small, Shapes(has_logits=False))
    assert all(found.has_feature and not found.has_logits for found in space.enumerate())


def test_student_of_another_size():
    """The connector works on the student's own map."""
    shapes = Shapes(batch=1, same=False, student_positions=1)
    connectors = {found.connector for found in
                  DistillerSpace(dict(transform=['none'], logits=['none']), shapes).enumerate()}
    assert connectors == {'conv1x1'}


@pytest.mark.parametrize('levels', [('distance', 'logits'), ('transform', 'feature_weight'), ()])
def test_leading_distillers_are_those_of_the_whole_list(levels):
    """Also of many that are worth the same: the first."""
    space = DistillerSpace(dict(transform=['none', 'channel_attention', 'logits_only'],
                                connector=['conv1x1'], intra=['none', 'local'], inter=['channel']))

    def worth(level, value):
        return 0.25 * (zlib.crc32(repr(value).encode()) % 4) if level in levels else 0.0

    specs = sorted(space.enumerate(), key=lambda spec: -sum(
        worth(*option) for option in spec.to_dict().items()))
    assert len(specs) > 500 and space.leading(worth, 7) == specs[:7]

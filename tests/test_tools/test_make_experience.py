"""tools/make_experience.py: what the tasks are called."""
import shutil


def test_one_name_of_two_tables_is_told(tool, table, tmp_path):
    (tmp_path / 'other').mkdir()
    other, out = tmp_path / 'other' / table.name, tmp_path / 'e.json'
    shutil.copy(str(table), str(other))
    text = tool('make_experience', table, f'other={other}', '--out', out)
    assert 'warning' not in text
    text = tool('make_experience', f'same={table}', f'same={other}', '--out', out)
    assert 'warning' not in text  # somebody has said so


def test_a_study_added_to_one_of_its_name_is_told(tool, search, tmp_path):
    for folder in ('a/work', 'b/work'):
        (tmp_path / folder).parent.mkdir()
        search('--trials', 14, '--cfg-options', 'train_cfg.final_round=None',
               'train_cfg.pruner=None', work_dir=folder)
    one, other, out = tmp_path / 'a' / 'work', tmp_path / 'b' / 'work', tmp_path / 'e.json'
    text = tool('make_experience', one, other, '--out', out)
    assert 'warning: 2 studies and tables are called work and taken for one task' in text
    assert 'warning' not in tool('make_experience', one, '--out', out)
    assert 'warning' not in tool('make_experience', one, '--add', '--out', out)  # the same
    assert 'warning: 2 studies' in tool('make_experience', other, '--add', '--out', out)
    assert 'warning' not in tool('make_experience', f'b={other}', '--add', '--out', out)

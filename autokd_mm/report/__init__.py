"""What a search leaves to read: words, tables, exported configs, progress."""
from autokd_mm.report.export import best_config, write_leaderboard
from autokd_mm.report.progress import Display, best_table, table_text
from autokd_mm.study.ranking import best, ranked, spec_of

__all__ = ['Display', 'best', 'best_config', 'best_table', 'ranked', 'spec_of', 'table_text',
           'write_leaderboard']

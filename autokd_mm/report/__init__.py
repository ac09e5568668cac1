"""What a search leaves to read: words, tables, exported configs, progress."""
from autokd_mm.report.export import best, best_config, ranked, spec_of, write_leaderboard
from autokd_mm.report.progress import Display, best_table, table_text

__all__ = ['Display', 'best', 'best_config', 'best_table', 'ranked', 'spec_of', 'table_text',
           'write_leaderboard']

from autokd_mm.engine.runner.search_loop import SearchLoop

__all__ = ['SearchLoop']

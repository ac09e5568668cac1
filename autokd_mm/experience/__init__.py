"""What finished searches say to the next one.

``sources`` reads tables and studies, ``statistics`` adds them up, ``file`` keeps the sums as JSON,
``pooling`` makes a prior of several tasks, ``choosing`` reads a config's ``sampler.experience``,
``recommending`` ranks distillers without a trial.
``default.json`` is the experience that the package brings; ``tools/make_experience.py`` made it.
"""
from autokd_mm.experience.choosing import DEFAULT, load_prior, load_tasks
from autokd_mm.experience.file import (FORMAT, OWN, Experience, read, read_whole, remember,
                                       write)
from autokd_mm.experience.pooling import pool
from autokd_mm.experience.recommending import Expected, recommend
from autokd_mm.experience.sources import of_search, of_source, of_study, of_table
from autokd_mm.experience.statistics import TaskStatistics, statistics

__all__ = ['DEFAULT', 'Expected', 'Experience', 'FORMAT', 'OWN', 'TaskStatistics',
           'load_prior', 'load_tasks', 'of_search', 'of_source', 'of_study', 'of_table', 'pool',
           'read', 'read_whole', 'recommend', 'remember', 'statistics', 'write']

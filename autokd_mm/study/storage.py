"""Where the study is kept: a journal in the work dir, or a PostgreSQL database.

The password of a database stays in this process. It is best given where libpq looks for it
(``PGPASSWORD``, ``~/.pgpass``); one that stands in the URL is taken out of the config before
anything writes the config down (:func:`hide_password`).
"""
from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple, Type
from urllib.parse import quote, quote_plus

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from autokd_mm.errors import ConfigError, StudyError
from autokd_mm.study import journal
from autokd_mm.study.lock import exclusive
from autokd_mm.study.patience import PatientStorage

if TYPE_CHECKING:  # a quarter of a second to import, for nothing where a journal is used
    from sqlalchemy.engine import URL

_HIDDEN = '***'
# Without a driver in the URL: the first that is installed.
_DRIVERS = {'postgresql': ('psycopg2', 'psycopg'), 'postgresql+psycopg2': ('psycopg2', ),
            'postgresql+psycopg': ('psycopg', )}
_SECRET = ('password', 'sslpassword')  # of libpq, in the query part of a URL
# Secrets that were taken out of a config in this process, by the URL that is left.
_secrets: Dict[str, Dict[str, str]] = {}


def hide_password(config: Any) -> None:
    """Take the database's password out of a search config, everywhere in it, and remember it.

    Args:
        config: MMEngine ``Config``; ``train_cfg.storage`` is looked at, and every string in the
            config that contains it, its password or its text is changed.

    Raises:
        ConfigError: the storage cannot be used.
    """
    given = (config.get('train_cfg') or {}).get('storage')
    if given is None:
        return
    url = _parse(given)
    secrets = _secrets_of(url)
    if not secrets:
        return
    safe = _without(url)
    _secrets[safe] = secrets
    words = [word for secret in secrets.values() for word in _spellings(secret)]

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            for key in list(value):
                value[key] = clean(value[key])
            return value
        if isinstance(value, (list, tuple)):
            return type(value)(clean(item) for item in value)
        if isinstance(value, str):
            value = value.replace(given, safe)
            # A short word may be anything; the URL it stood in has been replaced above.
            for word in words if '://' in value else ():
                value = value.replace(word, _HIDDEN)
            return value
        return value

    for key in list(config):
        config[key] = clean(config[key])
    text = config.text.replace(given, safe)  # MMEngine keeps what the files said
    for word in words:
        text = text.replace(word, _HIDDEN)
    super(type(config), config).__setattr__('_text', text)


def check_storage(storage: Any) -> Optional[str]:
    """``train_cfg.storage`` as it can be written down.

    Raises:
        ConfigError: it is no PostgreSQL URL, its driver is missing, or it holds a password.
    """
    if storage is None:
        return None
    url = _parse(storage)
    if _secrets_of(url):
        raise ConfigError('storage: a password here would be written into the work dir with the '
                          'config; use PGPASSWORD or ~/.pgpass, or start by tools/search.py')
    return _without(url)


def study_name(work_dir: str, storage: Optional[str]) -> str:
    """Of the search: in a database, where there are others, by the name of the work dir."""
    if storage is None:
        return 'autokd_mm'
    return f'autokd_mm/{os.path.basename(os.path.abspath(work_dir))}'


def final_name(search: str, studies: Iterable[Any]) -> str:
    """Of the study of a search's final round. In a database no other search can have it: a slash
    is in no name of a folder.

    Args:
        search: name of the search's study.
        studies: all that are in the storage. One of an earlier version may be there, whose name
            could be another search's, which maximises.
    """
    name, former = f'{search}/final', f'{search}_final'
    there = {study.study_name: study.directions for study in studies}
    own = there.get(former) == [StudyDirection.MINIMIZE] and name not in there
    return former if own or search == study_name('', None) else name


def is_final(name: str) -> bool:
    """Whether a study is a final round's, by its name."""
    return name.endswith(('_final', '/final'))


def open_storage(work_dir: str, storage: Optional[str] = None) -> BaseStorage:
    """The storage of a search, which bears with a file system or a database that is away.

    Args:
        storage: URL of :func:`check_storage`; None: the journal in ``work_dir``.

    Raises:
        StudyError: the journal is damaged; or the database cannot be reached, without a word
            of the password.
    """
    if storage is None:
        return PatientStorage(journal.open_storage(journal.journal_path(work_dir)))
    url = _whole(storage)
    try:
        # Tables are made by the first to come, one at a time. Connections are not tried before
        # each use: PatientStorage asks again where one has been cut.
        with exclusive(os.path.join(work_dir, '.storage.lock')):
            backend = optuna.storages.RDBStorage(
                url.render_as_string(hide_password=False), engine_kwargs=dict(
                    pool_size=1, max_overflow=1, hide_parameters=True,
                    connect_args=dict(connect_timeout=10)))
    except database_errors() as error:
        raise StudyError(f'storage: {storage} cannot be used: {reason_of(error, url)}') from None
    return PatientStorage(optuna.storages.get_storage(backend))


def database_errors() -> Tuple[Type[Exception], ...]:
    """What a database raises through Optuna."""
    from sqlalchemy.exc import SQLAlchemyError
    return SQLAlchemyError, optuna.exceptions.StorageInternalError


def reason_of(error: BaseException, url: URL) -> str:
    """The first line of a database's error, without its secrets."""
    error = error.__cause__ or error
    text = str(getattr(error, 'orig', None) or error).strip().splitlines() or ['']
    words = [word for secret in _secrets_of(url).values() for word in _spellings(secret)]
    line = text[0]
    for word in words:
        line = line.replace(word, _HIDDEN)
    return line or type(error).__name__


def _parse(storage: Any) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError, TypeError, AttributeError):
        url = None
    if url is None or url.drivername not in _DRIVERS:
        kind = f' ({url.drivername})' if url is not None else ''
        raise ConfigError(f"storage{kind}: must be 'postgresql://user@host:port/database', or None "
                          'for the journal in the work dir')
    if not _driver(url):
        package = _DRIVERS[url.drivername][0].replace('psycopg2', 'psycopg2-binary')
        raise ConfigError(f'storage: {url.drivername} needs a package that is not installed: '
                          f'pip install {package}')
    return url


def _whole(storage: str) -> URL:
    """With the driver that is there, and the secrets that :func:`hide_password` took away."""
    secrets = dict(_secrets.get(storage, {}))
    url = _parse(storage)
    url = url.set(drivername=f'postgresql+{_driver(url)}')
    if 'password' in secrets:
        url = url.set(password=secrets.pop('password'))
    return url.update_query_dict(secrets)


def _driver(url: URL) -> str:
    return next((name for name in _DRIVERS[url.drivername] if find_spec(name)), '')


def _secrets_of(url: URL) -> Dict[str, str]:
    found = {name: str(url.query[name]) for name in _SECRET if name in url.query}
    if url.password:
        found['password'] = str(url.password)
    return found


def _without(url: URL) -> str:
    """The URL as text without its secrets; ``set(password=None)`` would leave the password."""
    from sqlalchemy.engine import URL
    query = {name: value for name, value in url.query.items() if name not in _SECRET}
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database,
                      query).render_as_string()


def _spellings(secret: str) -> List[str]:
    encoded = [quote(secret, safe=safe) for safe in ('', '/', ' +')]  # the last is SQLAlchemy's
    return sorted({secret, quote_plus(secret), *encoded}, key=len, reverse=True)


def open_to_look(work_dir: str, storage: Optional[str] = None,
                 briefly: bool = False) -> BaseStorage:
    """The storage of a search for somebody who looks on: nothing is made or changed, and nobody
    is waited for.

    Args:
        storage: URL of a database; None: the journal in ``work_dir``.
        briefly: without what was asked, of a journal once (see :class:`journal.Glance` and
            :class:`~autokd_mm.study.database_glance.DatabaseGlance`).

    Raises:
        StudyError: there is none, it is damaged, or it cannot be reached.
        ConfigError: no URL of a database.
    """
    if storage is None:
        path = journal.journal_path(work_dir)
        if not os.path.isfile(path):
            raise StudyError(f'work_dir: there is no {journal.JOURNAL} in {work_dir}; name the '
                             'folder of a search, or --storage where a database holds the study')
        return journal.open_storage(path, journal.Glance(path) if briefly else None)
    url = _whole(storage)
    kind = optuna.storages.RDBStorage
    if briefly:
        from autokd_mm.study.database_glance import DatabaseGlance
        kind = DatabaseGlance
    try:
        return kind(
            url.render_as_string(hide_password=False), skip_table_creation=True,
            engine_kwargs=dict(hide_parameters=True, connect_args=dict(connect_timeout=10)))
    except database_errors() as error:
        raise StudyError(f'storage: {_without(url)} cannot be used: '
                         f'{reason_of(error, url)}') from None

"""A PostgreSQL server of one's own on a free loopback port, for tests and benchmarks."""
import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec

PASSWORD = 'p@ss/w:rd 1'  # needs to be escaped in a URL


def find():
    """The folder of the server's programs; None where it is not installed."""
    for folder in sorted(glob.glob('/usr/lib/postgresql/*/bin'), reverse=True) + [
            os.path.dirname(shutil.which('initdb') or '')]:
        if folder and all(os.access(os.path.join(folder, name), os.X_OK)
                          for name in ('initdb', 'pg_ctl', 'postgres')):
            return folder
    return None


def missing():
    """Why there can be no server here; '' where there can."""
    if find() is None:
        return 'PostgreSQL is not installed (Debian: apt install postgresql)'
    if not (find_spec('psycopg2') or find_spec('psycopg')):
        return 'psycopg2 is not installed (pip install psycopg2-binary)'
    if os.getuid() == 0 and _user() is None:
        return 'PostgreSQL does not run as root, and there is no user postgres or nobody'
    return ''


class Postgres:
    """Context manager: a server with fresh data, which are deleted with it.

    Attributes:
        url: of its database, with the password of user ``autokd``.
    """

    def __enter__(self):
        self.bin, self.user = find(), _user() if os.getuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix='autokd-pg-')
        if self.user is not None:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        secret = os.path.join(self.folder, 'password')
        with open(secret, 'w') as file:
            file.write(PASSWORD + '\n')
        os.chmod(secret, 0o644)
        try:
            self._call('initdb', '-D', self.folder + '/data', '-U', 'autokd', '-A', 'scram-sha-256',
                       '--pwfile', secret, '--no-sync', '-E', 'UTF8', '--locale=C')
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *args):
        self.stop(check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        from sqlalchemy.engine import URL
        return URL.create('postgresql', 'autokd', PASSWORD, '127.0.0.1', self.port,
                          'postgres').render_as_string(hide_password=False).replace(' ', '%20')

    def hidden(self):
        """Its URL as a search gets it; this process knows the password."""
        from mmengine.config import Config

        from autokd_mm.study.storage import hide_password
        config = Config(dict(train_cfg=dict(storage=self.url)))
        hide_password(config)
        return config.train_cfg.storage

    def start(self):
        options = (f'-c listen_addresses=127.0.0.1 -c port={self.port} -c max_connections=300 '
                   f'-c unix_socket_directories={self.folder}')
        self._call('pg_ctl', '-D', self.folder + '/data', '-w', '-l', self.folder + '/log',
                   '-o', options, 'start')

    def stop(self, check=True):
        """At once, as when the machine goes down."""
        self._call('pg_ctl', '-D', self.folder + '/data', '-w', '-m', 'immediate', 'stop',
                   check=check)

    def _call(self, program, *args, check=True):
        def become():
            if self.user is not None:
                os.setgroups([])
                os.setgid(self.user.pw_gid)
                os.setuid(self.user.pw_uid)

        done = subprocess.run([os.path.join(self.bin, program), *args], preexec_fn=become,
                              cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
        if check and done.returncode:
            raise RuntimeError(f'{program} ended with {done.returncode}: {done.stdout}')


def _user():
    for name in ('postgres', 'nobody'):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None

"""What ends a candidate, in a line."""
import pytest

from autokd_mm.errors import CandidateFailed
from autokd_mm.proxy.failures import one_line_reason


@pytest.mark.parametrize('error, line', [
    (RuntimeError('out of memory\nmore of it'), '^RuntimeError: out of memory$'),
    (AssertionError(), r'^AssertionError: no message \(test_failures.py:[0-9]+\)$'),
    (CandidateFailed('the loss is nan'), '^the loss is nan$')])
def test_a_failure_in_a_line(error, line):
    with pytest.raises(CandidateFailed, match=line), one_line_reason():
        raise error


def test_a_fault_of_the_program_passes():
    with pytest.raises(KeyError), one_line_reason():
        raise KeyError('x')

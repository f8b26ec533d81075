"""Of files that are nearly right every reader makes something, or refuses them with one line."""

from random import Random

import pytest
from contract import Trial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import changed
from readers import READERS

QUICK, SLOW, ANY = 30, 5, 3  # files of each reader


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """A reader's trial by its name, begun when it is asked for."""
    begun: dict[str, Trial] = {}

    def trial(name: str) -> Trial:
        if name not in begun:
            begun[name] = Trial(READERS[name], tmp_path_factory.mktemp(name))
        return begun[name]

    return trial


def many(count: int) -> settings:
    """So many examples, each of which may take long on a busy machine."""
    return settings(max_examples=count, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", READERS)
def test_files_that_are_nearly_right_are_read_or_refused(name, trials):
    trial = trials(name)

    @many(SLOW if trial.reader.slow else QUICK)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        trial.attempt(changed(trial.valid, trial.reader, Random(seed)))

    check()


@pytest.mark.parametrize("name", READERS)
def test_files_of_anything_are_read_or_refused(name, trials):
    trial = trials(name)

    @many(ANY)
    @given(st.binary(max_size=300))
    def check(content: bytes) -> None:
        trial.attempt(content)

    check()


@pytest.mark.parametrize("name", READERS)
def test_what_is_valid_is_still_read_after_all_that(name, trials):
    trials(name).accept()

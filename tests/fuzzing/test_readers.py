"""Of files that are nearly right every reader makes something, or refuses them with one line."""

from random import Random

import pytest
from contract import Reader, Trial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import changed
from readers import READERS

QUICK, SLOW = 40, 6  # files of each reader


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """A reader's trial by its name, begun when it is asked for."""
    begun: dict[str, Trial] = {}

    def trial(name: str) -> Trial:
        if name not in begun:
            begun[name] = Trial(READERS[name], tmp_path_factory.mktemp(name))
        return begun[name]

    return trial


def examples(reader: Reader) -> settings:
    count = SLOW if reader.slow else QUICK
    return settings(max_examples=count, deadline=None, derandomize=True, database=None,
                    suppress_health_check=list(HealthCheck))  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_files_that_are_nearly_right_are_read_or_refused(name, trials):
    trial = trials(name)

    @examples(trial.reader)
    @given(seed=st.integers(0, 2**32))
    def check(seed: int) -> None:
        trial.attempt(changed(trial.valid, trial.reader, Random(seed)))

    check()


@pytest.mark.parametrize("name", READERS)
def test_files_of_anything_are_read_or_refused(name, trials):
    trial = trials(name)
    attempt = given(st.binary(max_size=300))(trial.attempt)
    settings(examples(trial.reader), max_examples=4)(attempt)()


@pytest.mark.parametrize("name", READERS)
def test_what_is_valid_is_still_read_after_all_that(name, trials):
    trials(name).accept()

"""Greedy generation: at temperature 0, is every new token the most likely one after all that the window holds?"""

import pytest

pytestmark = pytest.mark.component("generate_greedy")

ONE_ROW_ONLY = "right for one row, not for a batch"


def test_one_token(judge):
    """Is the most likely token appended to the prompt?"""
    judge.equal("one_step")


def test_every_token_is_fed_back(judge):
    """Is every new token part of the context of the next, as often as asked?"""
    judge.equal("steps")


def test_the_window_can_overflow(judge):
    """Does the model see the last max_seq_len tokens once the text is longer than that?"""
    judge.equal("window")


@pytest.mark.weight(2)
def test_every_row_of_a_batch(judge):
    """Does each row of a batch get its own tokens?"""
    with judge.beyond(lambda: judge.equal("steps"), ONE_ROW_ONLY):
        judge.equal("batch")


def test_a_batch_can_overflow_the_window(judge):
    """Does it work for several prompts that are longer than the window from the start?"""
    with judge.beyond(lambda: judge.equal("window"), ONE_ROW_ONLY):
        judge.equal("batch_window")

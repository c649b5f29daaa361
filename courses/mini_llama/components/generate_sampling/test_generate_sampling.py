"""Sampling: are tokens drawn with the right probabilities? Thousands of draws are counted and chi-square decides."""

import pytest

pytestmark = pytest.mark.component("generate_sampling")

ONE_ROW_ONLY = "right for one row, not for a batch"


def test_low_temperature_sharpens(judge):
    """At temperature 0.5, are tokens drawn from softmax(logits / 0.5)?"""
    judge.equal("low")


def test_high_temperature_flattens(judge):
    """At temperature 2.5, are tokens drawn from softmax(logits / 2.5)?"""
    judge.equal("high")


def test_the_window_can_overflow(judge):
    """Are the draws right when the text is longer than max_seq_len?"""
    judge.equal("window")


@pytest.mark.weight(2)
def test_every_row_of_a_batch(judge):
    """Is every row of a batch drawn from its own distribution, by itself?"""
    with judge.beyond(lambda: judge.equal("low"), ONE_ROW_ONLY):
        judge.equal("batch")


def test_a_batch_can_overflow_the_window(judge):
    """Are the draws right for many prompts that are longer than the window from the start?"""
    with judge.beyond(lambda: judge.equal("window"), ONE_ROW_ONLY):
        judge.equal("batch_window")


@pytest.mark.option(filter="epsilon")
def test_epsilon_cuts_the_tail(judge):
    """Are tokens less likely than epsilon never drawn, and the others in proportion?"""
    judge.equal("epsilon")


@pytest.mark.option(filter="epsilon")
def test_epsilon_comes_after_temperature(judge):
    """Is epsilon compared with the probabilities that temperature has changed?"""
    judge.equal("epsilon_high")


@pytest.mark.option(filter="epsilon")
@pytest.mark.weight(0.5)
def test_one_token_may_be_left(judge):
    """If only one token reaches epsilon, is it always drawn?"""
    judge.equal("one_left")


@pytest.mark.option(filter="epsilon")
@pytest.mark.weight(0.5)
def test_no_token_may_be_left(judge):
    """If no token reaches epsilon, is one drawn all the same: the most likely, or any?"""
    judge.equal("none_left")


@pytest.mark.option(filter="epsilon")
@pytest.mark.weight(2)
def test_epsilon_in_a_batch(judge):
    """Does every row of a batch lose its own unlikely tokens?"""
    with judge.beyond(lambda: judge.equal("epsilon"), ONE_ROW_ONLY):
        judge.equal("batch_epsilon")


@pytest.mark.option(filter="epsilon")
def test_rows_without_a_token_left(judge):
    """Does a batch work in which some rows have no token that reaches epsilon?"""
    with judge.beyond(lambda: judge.equal("none_left"), ONE_ROW_ONLY):
        judge.equal("batch_some_left")

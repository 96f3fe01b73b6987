import logging

import pytest

from headimpact.workflows.score_shards import announce_run


@pytest.mark.parametrize(
    ("seconds", "remaining", "said"),
    [
        pytest.param(16.0, 1000, "about 16.7 min for 1000 pictures; memory of the process so far", id="long"),
        pytest.param(16.0, 16, None, id="short"),
    ],
)
def test_a_long_run_says_how_long_it_will_take_and_what_it_holds(caplog, seconds, remaining, said):
    with caplog.at_level(logging.INFO):
        announce_run(seconds, 16, remaining, device="cpu")
    assert (said in caplog.text) if said else not caplog.text

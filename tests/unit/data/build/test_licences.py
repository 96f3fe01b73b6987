"""Licences by id, name or short form."""

import pytest

from headimpact.core.errors import UnknownNameError
from headimpact.data.build.licences import find_licences, short_form

LISTED = {
    "1": ("Attribution", "http://creativecommons.org/licenses/by/2.0/"),
    "2": ("Attribution-ShareAlike", "https://creativecommons.org/licenses/by-sa/4.0/"),
    "3": ("No known restrictions", ""),
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["1"], {"1"}),
        (["CC-BY-2.0", "cc-by-sa-4.0"], {"1", "2"}),
        (["no known restrictions"], {"3"}),
        ([], set()),
    ],
)
def test_licences_are_found(wanted, expected):
    assert find_licences(LISTED, wanted) == expected


def test_an_unknown_licence_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"'cc-by-3\.0'.*cc-by-2\.0"):
        find_licences(LISTED, ["cc-by-3.0"])


def test_other_addresses_have_no_short_form():
    assert short_form("http://flickr.com/commons/usage/") == ""

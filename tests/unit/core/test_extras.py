import pytest

from headimpact.core.errors import MissingExtraError
from headimpact.core.extras import require_extra


def test_a_present_package_is_given():
    assert require_extra("json", extra="x", purpose="A test").loads("1") == 1


def test_a_missing_package_gives_the_install_line():
    with pytest.raises(
        MissingExtraError, match=r"The Hub needs the package 'no_such_thing'.*headimpact\[hub\]"
    ) as error:
        require_extra("no_such_thing.part", extra="hub", purpose="The Hub")
    assert isinstance(error.value, ImportError)

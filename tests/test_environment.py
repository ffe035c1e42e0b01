"""What a run says of the packages that it uses."""

from importlib import metadata

from ganad_tf.environment import installed_version


def test_a_package_that_another_one_stands_in_for_has_no_known_version():
    assert installed_version("numpy") == metadata.version("numpy")
    assert installed_version("no-such-package-of-ours") == "not known"

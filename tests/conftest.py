"""What all tests share."""

# Here, not beside the tests that use it: pytest refuses pytest_plugins in a conftest that it meets while it collects.
pytest_plugins = ["pytester"]

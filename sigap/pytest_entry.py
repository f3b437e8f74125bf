"""What pytest loads where Sigap is installed. It names the plugin, so that a test that names it too gets the same."""

pytest_plugins = ["sigap.pytest_plugin"]

"""The toolkit could not be built, or is not what it was."""


class ToolkitError(Exception):
    """The message is a sentence for the host's owner."""

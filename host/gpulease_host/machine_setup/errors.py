"""What goes wrong while the machine is set up or left."""


class MachineSetupError(Exception):
    """Nothing was changed, or what was changed is put back. The text says what to do."""

"""What the installer has this program do to the machine, and undo: Docker's settings, and leaving.

Packages, units and files of the installation itself are the installer's.
"""

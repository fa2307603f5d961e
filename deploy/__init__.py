"""What turns the code into a deployable template: the tables, the settings, the checks."""

"""The command ``autokd``: the tools under one name, and a doctor.

Importing it needs the standard library alone, so that it can say what is missing.
"""

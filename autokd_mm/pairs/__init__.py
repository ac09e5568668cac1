"""How a config writes a teacher and a student: in our form, or in any that MMRazor publishes."""

"""What a student is worth: loss, gap to the teacher and the metric of its task."""

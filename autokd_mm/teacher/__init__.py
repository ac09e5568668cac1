"""The teacher: its checkpoint, what it says, the banks that it fills."""

"""What is wrong with a data set: copies, near duplicates, leaks, sounds that are none."""

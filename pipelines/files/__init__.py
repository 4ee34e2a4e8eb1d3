"""The files of a data set, wherever they lie: listed, opened, read in parts."""

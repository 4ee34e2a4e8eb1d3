"""Radio examples: IQ samples in RadioML's pickles and HDF5 files."""

"""What has to do with the machine and with no algorithm: BLAS threads, freed memory, compiled loops, files, Ctrl-C."""

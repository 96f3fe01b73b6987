"""One file per stage: read files, call kernels, write files; the only room where kernels meet."""

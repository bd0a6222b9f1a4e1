"""What a Spark executor runs, and the pure logic under it: no SparkSession and no torch in here.

One file a stage carries the stage's name (``tokenize_corpus``, ``count_cooccurrence``, ...): it holds the step,
an undecorated function from an iterator of ``pyarrow.RecordBatch`` to another. The other files are what steps
are made of.
"""

import os

# numba reads this when it is imported: pivot_udfs.runtime.kernel_cache says where this package's kernels are cached.
os.environ.setdefault(
    "NUMBA_CACHE_LOCATOR_CLASSES",
    "pivot_udfs.runtime.kernel_cache.KernelCache,UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,"
    "IPythonCacheLocator,ZipCacheLocator",
)

__version__ = "0.1.0"

"""What a Spark executor runs, and the pure logic under it: no SparkSession and no torch in here.

One file a stage carries the stage's name (``tokenize_corpus``, ``count_cooccurrence``, ...): it holds the step,
an undecorated function from an iterator of ``pyarrow.RecordBatch`` to another. The other files are what steps
are made of.
"""

__version__ = "0.1.0"

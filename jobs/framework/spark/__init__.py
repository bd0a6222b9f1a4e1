"""How a Spark session is started: its settings, its Java and jars, its memory, its output, the code it sends."""

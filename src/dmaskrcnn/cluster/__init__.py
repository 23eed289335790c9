"""Jobs over more pictures than one process gets through: `predict`, `dehaze`, `haze` on Ray Data.

The pictures are cut into shards, in an order that never changes. A shard is one task of an actor,
which holds a detector or dehazer and decodes, works on and writes the pictures of the shard by
itself; its last act is to write ``part-NNNNNN.parquet``, a row per picture. So a part is whole or
not there, a killed worker loses and doubles nothing, and a job that is started again does what is
missing.
"""

"""The HPatches benchmark: verification, matching and retrieval of patch descriptors.

    patches       the published patch release
    descriptors   descriptors of a release: read, write, compute
    splits        which sequences are tested
    tasklists     which pairs, queries and distractors are compared; generation makes them
    distances     exact distances, nearest neighbours and ranks
    tasks         the three tasks
    evaluation    all of it, with confidence intervals: one dictionary of numbers
    report        tables of such dictionaries
    extraction    a patch release out of image sequences

Nothing here knows where descriptors come from.
"""

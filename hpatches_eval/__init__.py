"""The HPatches benchmark: the three tasks of patch descriptors, and full-image protocols.

    patches       the published patch release
    descriptors   descriptors of a release: read, write, compute
    splits        which sequences are tested
    tasklists     which pairs, queries and distractors are compared; generation makes them
    distances     exact distances, nearest neighbours and ranks
    tasks         the three tasks
    evaluation    all of it, with confidence intervals: one dictionary of numbers
    report        tables of such dictionaries
    extraction    a patch release out of image sequences

    features      keypoints and descriptors of an image; featurefiles reads stored ones
    finders       OpenCV's detectors; maps finds keypoints in dense maps, as of ONNX files
    geometry      homographies: warping, resizing, estimating
    matching      nearest neighbours; imagemetrics says what they and the keypoints are worth
    imageevaluation   all of it over sequences; imagesummary and imagereport tell it

Nothing here knows where descriptors come from.
"""

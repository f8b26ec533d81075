"""An honest clock: networks on every backend beside their peers, in interleaved rounds.

Nothing is imported here: `fresh` is the first thing a new process runs, and it times that.
"""

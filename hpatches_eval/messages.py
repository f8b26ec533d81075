"""Texts of errors, which may quote files that anyone wrote."""

LONGEST, END = 2_000, 500  # characters of a message, and of what is kept of its end


def plain(text: str) -> str:
    """One line that a terminal shows as it is, its middle left out where it is very long.

    Whatever could steer a terminal is escaped.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - END]} ... {text[-END:]}"
    line = " ".join(part.strip() for part in text.splitlines())
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)

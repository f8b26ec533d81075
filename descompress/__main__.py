"""`python -m descompress` is the command `descompress`."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="descompress")

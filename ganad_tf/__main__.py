"""`python -m ganad_tf`: the command `ganad`, where its script is not on the PATH."""

import sys

from ganad_tf.commands.ganad import main

if __name__ == "__main__":
    sys.exit(main())

"""Library messages that say nothing to byrote's users, silenced before anything imports the library.

peft imports bitsandbytes wherever it is installed, which then advises everybody of an optional kernel; and in every
int8 forward pass it says that it multiplies in half precision.
"""

import logging

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

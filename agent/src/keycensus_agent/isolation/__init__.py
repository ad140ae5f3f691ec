"""What each process of the agent gives up for good, by the kernel's word, before it meets the world.

Everything here is ctypes over the C library: no extra dependency, and nothing that the kernel of an
old distribution has to know. Each feature is taken where there is one; what is in force is read back
from the kernel (`evidence`) and never concluded from what was asked for.
"""

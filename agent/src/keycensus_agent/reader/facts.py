"""What is kept of a stat result. Runs in the reader."""

from __future__ import annotations

import os

from keycensus_agent.model import FileFacts


def file_facts(facts: os.stat_result) -> FileFacts:
    """Take over what is kept of a stat result."""
    return FileFacts(
        device=facts.st_dev,
        inode=facts.st_ino,
        mode=facts.st_mode,
        uid=facts.st_uid,
        gid=facts.st_gid,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        link_count=facts.st_nlink,
    )

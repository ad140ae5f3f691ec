"""Write the descriptors of the protocol as it is now, for the test that refuses a breaking change.

    python tests/contract/update_descriptors.py

To be run for a release, and when fields were added; never to make a failing test pass.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from keycensus_proto.v1 import enrolment_pb2, inventory_pb2, manifest_pb2, report_pb2

KEPT = Path(__file__).resolve().parent / "descriptors" / "v1.binpb"
MODULES = (enrolment_pb2, inventory_pb2, manifest_pb2, report_pb2)


def current_descriptors() -> FileDescriptorSet:
    """Return the descriptors of the generated code, a file after the other by name."""
    files = FileDescriptorSet()
    for module in MODULES:
        proto = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        files.file.append(proto)
    return files


if __name__ == "__main__":
    KEPT.write_bytes(current_descriptors().SerializeToString(deterministic=True))

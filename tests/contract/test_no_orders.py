"""What a collector can say to an agent: nothing that names a path, a command, a program or a setting.

A collector that was taken over must not be able to turn its agents. So what it says is an explicit list,
and a new field is a decision that is taken here.
"""

from __future__ import annotations

from contract.update_descriptors import current_descriptors
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool

from keycensus_proto.v1 import enrolment_pb2, report_pb2

# Every message that can reach an agent, with every field. A row is added with the reason why the agent
# that follows it to the letter can still do nothing but read, wait and report.
SAID_TO_AGENTS = {
    "Ack": {"sequence", "items"},
    "Difference": {"row_class", "keys", "removed", "more"},
    "EnrolResponse": {
        *("host_id", "agent_id", "deployment", "certificate_chain", "trust"),
        *("collector_time_unix_ms", "report_address"),
    },
    "HelloAck": {
        *("deployment", "database_id", "last_sequence", "session", "nonce", "lost_acks"),
        *("batch_credit", "max_message_bytes", "max_batch_bytes", "trust"),
        *("collector_time_unix_ms", "heartbeat_seconds", "linger_seconds", "list_wanted"),
    },
    "ItemResult": {"index", "result", "reason"},
    "LeaveResponse": set(),
    "ListRequest": {"row_class", "reason"},
    "Refusal": {"reason", "text", "retry_after_seconds"},
    "RenewResponse": {"certificate_chain", "trust", "collector_time_unix_ms"},
    "ReportResponse": {
        *("hello_ack", "want", "ack", "refusal", "list_request", "difference"),
        *("scan_again", "resend_class"),
    },
    "ResendClass": {"row_class", "over_seconds"},
    "ScanAgain": {"reason"},
    "TrustBundle": {"current", "next"},
    "Want": {"offer", "blobs", "satisfied"},
    "WantedBlob": {"kind", "hash"},
}


def reached(descriptor: Descriptor, found: dict[str, set[str]]) -> None:
    if descriptor.name in found:
        return
    found[descriptor.name] = {field.name for field in descriptor.fields}
    for field in descriptor.fields:
        if field.message_type is not None:
            reached(field.message_type, found)


def said_to_agents(*answers: Descriptor) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for answer in answers:
        reached(answer, found)
    return found


def test_the_protocol_carries_no_order_but_scan_again_and_send_again() -> None:
    found = said_to_agents(
        report_pb2.ReportResponse.DESCRIPTOR,
        enrolment_pb2.EnrolResponse.DESCRIPTOR,
        enrolment_pb2.RenewResponse.DESCRIPTOR,
        enrolment_pb2.LeaveResponse.DESCRIPTOR,
    )
    assert found == SAID_TO_AGENTS


def test_an_order_that_was_added_anywhere_is_found() -> None:
    """The same search over the protocol as it would be with paths in an answer's inner message."""
    pool = DescriptorPool()
    for file in current_descriptors().file:
        for message in file.message_type:
            if message.name == "ScanAgain":
                message.field.add(name="paths", number=900, type=12, label=3)
        pool.Add(file)
    grown = said_to_agents(pool.FindMessageTypeByName("keycensus.v1.ReportResponse"))
    assert grown["ScanAgain"] - SAID_TO_AGENTS["ScanAgain"] == {"paths"}

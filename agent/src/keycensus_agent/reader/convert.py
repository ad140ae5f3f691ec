"""Between the reader's dataclasses and the bytes of rows. Protobuf types stop here.

A row is encoded once; from then on it is bytes with a hash (protos/README.md, section 3). Fields are
set only where they differ from the default, and maps are not used in rows but for labels, which are
serialised deterministically, so equal rows give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from google.protobuf.message import Message

from keycensus_agent.host_facts import HostFacts
from keycensus_agent.model import (
    ARTIFACT_CAPS,
    BlobKind,
    FileFacts,
    Gap,
    Package,
    Place,
    Role,
    RowClass,
    Scope,
    Status,
    Use,
    inside,
)
from keycensus_agent.usage import Handshake, Renewal, Usage, Verdict
from keycensus_proto.v1 import inventory_pb2, manifest_pb2, report_pb2


def encode_place(place: Place) -> bytes:
    """Return the row's bytes."""
    facts = place.facts
    message = inventory_pb2.Place(
        path=inside(place, place.path),
        manifest=place.manifest,
        status=place.status,
        reason=place.reason,
        format=place.format,
        mode=facts.mode & 0o7777,
        uid=facts.uid,
        gid=facts.gid,
        owner=place.owner,
        group=place.group,
        acl=place.acl,
        selinux_label=place.selinux_label,
        size=facts.size,
        # Some file systems keep times that the wire's 64 bits do not.
        mtime_ns=max(-(1 << 63), min(facts.mtime_ns, (1 << 63) - 1)),
        target=inside(place, place.target) if place.target else b"",
        file_id=place.file_id,
        link_count=facts.link_count,
        role=place.role,
        use=place.use,
        readable_by=place.readable_by,
    )
    if place.scope.kind != "host":
        message.scope.kind = place.scope.kind
        message.scope.name = place.scope.name
        message.scope.instance = place.scope.instance
    if place.package is not None:
        message.package.kind = place.package.kind
        message.package.name = place.package.name
        message.package.version = place.package.version
    return message.SerializeToString(deterministic=True)


def encode_gap(gap: Gap) -> bytes:
    """Return the row's bytes."""
    message = inventory_pb2.Gap(prefix=gap.prefix, reason=gap.reason, detail=gap.detail)
    if gap.scope.kind != "host":
        message.scope.kind = gap.scope.kind
        message.scope.name = gap.scope.name
    return message.SerializeToString(deterministic=True)


def encode_usage(usage: Usage) -> bytes:
    """Return the row's bytes. All text must be fit for UTF-8."""
    message = inventory_pb2.Usage(
        binding=usage.binding,
        service=usage.service,
        unit=usage.unit,
        configuration=usage.configuration,
        line=usage.line,
        directive=usage.directive,
        places=usage.places,
        server_names=usage.server_names,
        listen=usage.listen,
        password_source=usage.password_source,
        processes=usage.processes,
        manifest=usage.manifest,
    )
    if usage.handshakes:
        message.handshake.CopyFrom(_handshake(usage.handshakes[0]))
        message.more_handshakes.extend(map(_handshake, usage.handshakes[1:]))
    if usage.renewal is not None:
        message.renewal.tool = usage.renewal.tool
        message.renewal.last_success_unix_ms = usage.renewal.last_success_ms
        message.renewal.overdue = usage.renewal.overdue
        message.renewal.schedule = usage.renewal.schedule
        message.renewal.overdue_reason = usage.renewal.reason
    return message.SerializeToString(deterministic=True)


def _handshake(handshake: Handshake) -> inventory_pb2.Handshake:
    return inventory_pb2.Handshake(
        at_unix_ms=handshake.at_ms,
        address=handshake.address,
        server_name=handshake.server_name,
        chain=handshake.chain,
        tls_version=handshake.tls_version,
        cipher=handshake.cipher,
        error=handshake.error,
        verdict=handshake.verdict,
    )


def encode_host_facts(facts: HostFacts) -> bytes:
    """Return the row's bytes."""
    return inventory_pb2.HostFacts(
        name=facts.name,
        machine_hash=facts.machine_hash,
        operating_system=facts.operating_system,
        operating_system_version=facts.operating_system_version,
        kernel=facts.kernel,
        architecture=facts.architecture,
        addresses=list(facts.addresses),
        kind=facts.kind,
        labels=dict(facts.labels),
        agent_version=facts.agent_version,
        isolation=list(facts.isolation),
        roots=list(facts.roots),
    ).SerializeToString(deterministic=True)


def manifest_of_row(row_class: RowClass, row: bytes) -> bytes:
    """Return the manifest hash that an encoded row names, empty if none."""
    if row_class is RowClass.PLACE:
        return inventory_pb2.Place.FromString(row).manifest
    if row_class is RowClass.USAGE:
        return inventory_pb2.Usage.FromString(row).manifest
    return b""


def place_of(row: bytes) -> Place:
    """Return an encoded Place as it was, but for device, inode and ctime, which rows don't carry."""
    message = inventory_pb2.Place.FromString(row)
    facts = FileFacts(
        device=0,
        inode=0,
        mode=message.mode,
        uid=message.uid,
        gid=message.gid,
        size=message.size,
        mtime_ns=message.mtime_ns,
        ctime_ns=0,
        link_count=message.link_count,
    )
    package = message.package
    return Place(
        path=message.path,
        status=Status(message.status),
        facts=facts,
        scope=Scope(message.scope.kind or "host", message.scope.name, message.scope.instance),
        manifest=message.manifest,
        reason=message.reason,
        format=message.format,
        owner=message.owner,
        group=message.group,
        acl=message.acl,
        selinux_label=message.selinux_label,
        target=message.target,
        file_id=message.file_id,
        role=Role(message.role),
        use=Use(message.use),
        readable_by=message.readable_by,
        package=(
            Package(package.kind, package.name, package.version)
            if message.HasField("package")
            else None
        ),
    )


def place_at(path: bytes, row: bytes) -> Place:
    """Return an encoded Place with the host's paths; `path` is where the host has it."""
    place = place_of(row)
    if place.path == path or not path.endswith(place.path):
        return place
    prefix = path[: -len(place.path)]
    target = prefix + place.target if place.target else b""
    return replace(place, path=path, target=target, prefix=prefix)


def gap_of(row: bytes) -> Gap:
    """Return an encoded Gap as it was."""
    message = inventory_pb2.Gap.FromString(row)
    scope = Scope(message.scope.kind or "host", message.scope.name)
    return Gap(message.prefix, message.reason, message.detail, scope)


def usage_of(row: bytes) -> Usage:
    """Return an encoded Usage as it was."""
    message = inventory_pb2.Usage.FromString(row)
    first = [message.handshake] if message.HasField("handshake") else []
    renewal = message.renewal
    return Usage(
        binding=message.binding,
        service=message.service,
        unit=message.unit,
        configuration=message.configuration,
        line=message.line,
        directive=message.directive,
        places=tuple(message.places),
        server_names=tuple(message.server_names),
        listen=tuple(message.listen),
        password_source=message.password_source,
        handshakes=tuple(map(_handshake_of, (*first, *message.more_handshakes))),
        manifest=message.manifest,
        renewal=(
            Renewal(
                renewal.tool,
                renewal.last_success_unix_ms,
                renewal.overdue,
                renewal.schedule,
                renewal.overdue_reason,
            )
            if message.HasField("renewal")
            else None
        ),
        processes=tuple(message.processes),
    )


def _handshake_of(message: inventory_pb2.Handshake) -> Handshake:
    return Handshake(
        at_ms=message.at_unix_ms,
        address=message.address,
        server_name=message.server_name,
        chain=tuple(message.chain),
        tls_version=message.tls_version,
        cipher=message.cipher,
        error=message.error,
        verdict=Verdict(message.verdict),
    )


def batch_rows(request: bytes) -> tuple[int, list[bytes | None]]:
    """Return the sequence of an encoded batch and the rows of its changes, None for those gone."""
    batch = report_pb2.ReportRequest.FromString(request).batch
    return batch.sequence, [
        change.row if change.WhichOneof("state") == "row" else None for change in batch.changes
    ]


def blobs_named(manifest: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return (hashes of parts and of a tree's manifests, artifacts) that an encoded Manifest names."""
    message = manifest_pb2.Manifest.FromString(manifest)
    artifacts = [entry.artifact for entry in message.entries if entry.artifact]
    return [*message.parts, *(name.manifest for name in message.tree)], artifacts


def encode_tree(names: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a tree's manifest; `names` holds (name, manifest), sorted by name."""
    manifest = manifest_pb2.Manifest(format="tree")
    for name, digest in names:
        manifest.tree.add(name=name, manifest=digest)
    return manifest.SerializeToString(deterministic=True)


def tree_names(manifest: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, manifest) of an encoded tree, none of another manifest."""
    message = manifest_pb2.Manifest.FromString(manifest)
    return [(name.name, name.manifest) for name in message.tree]


def holds_certificates_only(manifest: bytes) -> bool:
    """Whether an encoded Manifest lists certificates and revocation lists, itself, and nothing else."""
    message = manifest_pb2.Manifest.FromString(manifest)
    kinds = {entry.kind for entry in message.entries}
    return bool(kinds) and not message.parts and kinds <= {"certificate", "crl"}


def long_artifacts(manifest: bytes) -> list[tuple[str, bytes, int]]:
    """Return (kind, hash, size) of what an encoded Manifest names and what is too long to be sent."""
    smallest = min(ARTIFACT_CAPS.values())
    return [
        (entry.kind, entry.artifact, entry.size)
        for entry in manifest_pb2.Manifest.FromString(manifest).entries
        if entry.size > smallest and entry.size > ARTIFACT_CAPS[_blob_kind(entry.kind)]
    ]


def _blob_kind(entry_kind: str) -> BlobKind:
    kinds = {"certificate": BlobKind.CERTIFICATE, "csr": BlobKind.CSR, "crl": BlobKind.CRL}
    return kinds.get(entry_kind, BlobKind.SPKI)


def describe_row(row_class: RowClass, row: bytes) -> str:
    """Return an encoded row as protobuf text on one line, for `run --dry-run`."""
    kinds: dict[RowClass, type[Message]] = {
        RowClass.PLACE: inventory_pb2.Place,
        RowClass.USAGE: inventory_pb2.Usage,
        RowClass.GAP: inventory_pb2.Gap,
        RowClass.HOST: inventory_pb2.HostFacts,
    }
    return _one_line(kinds[row_class].FromString(row))


def describe_manifest(manifest: bytes) -> str:
    """Return an encoded Manifest as protobuf text on one line."""
    return _one_line(manifest_pb2.Manifest.FromString(manifest))


def _one_line(message: Message) -> str:
    from google.protobuf import text_format

    # text_format escapes every byte that is not printable ASCII, so this is safe to show.
    return text_format.MessageToString(message, as_one_line=True, as_utf8=False)

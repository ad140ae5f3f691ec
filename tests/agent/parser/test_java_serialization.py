from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from keycensus_agent.parser import java_serialization
from keycensus_agent.parser.cursor import CutError

HEADER = b"\xac\xed\0\5"
PROGRAM = """
import java.io.*; import java.util.*;
public class Write {
  enum Colour { RED }
  static class Base implements Serializable { int a = 1; double b; long c; boolean d; byte[] e = {1}; }
  static class Own extends Base { transient int t; String s = "s"; Object[] o = {null, "s", Colour.RED};
    private void writeObject(ObjectOutputStream out) throws IOException {
      out.defaultWriteObject(); out.writeInt(7); out.write(new byte[2000]); out.writeObject("more"); } }
  static class Outer implements Externalizable { public Outer() {}
    public void writeExternal(ObjectOutput out) throws IOException { out.writeUTF("x"); }
    public void readExternal(ObjectInput in) {} }
  public static void main(String[] names) throws Exception {
    char[] big = new char[70000]; Arrays.fill(big, 'x');
    InvocationHandlerOf.of();
    Object proxy = java.lang.reflect.Proxy.newProxyInstance(Write.class.getClassLoader(),
      new Class<?>[] { Runnable.class }, new InvocationHandlerOf());
    Object[] all = { new Own(), new Outer(), new String(big), new ArrayList<>(List.of(1, 2)),
      new HashMap<>(Map.of("k", new Date(0))), String.class, ObjectStreamClass.lookup(Own.class),
      new int[][] {{1, 2}, {}}, Colour.RED, proxy };
    for (int i = 0; i < all.length; i++) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      new ObjectOutputStream(out).writeObject(all[i]);
      out.write("behind".getBytes());
      try (FileOutputStream file = new FileOutputStream(i + ".ser")) { out.writeTo(file); }
    } } }
class InvocationHandlerOf implements java.lang.reflect.InvocationHandler, Serializable {
  static void of() {}
  public Object invoke(Object p, java.lang.reflect.Method m, Object[] a) { return null; } }
"""


@pytest.mark.skipif(shutil.which("java") is None, reason="no java here")
def test_whatever_java_serializes_is_passed_over_to_the_byte(tmp_path: Path) -> None:
    (tmp_path / "Write.java").write_text(PROGRAM)
    subprocess.run(["java", "Write.java"], cwd=tmp_path, check=True, capture_output=True)
    files = sorted(tmp_path.glob("*.ser"))
    assert len(files) == 10
    for file in files:
        data = file.read_bytes()
        assert data[java_serialization.skip(data, 0) :] == b"behind"


def described(fields: bytes, flags: int = 2, *, name: bytes = b"A", parent: bytes = b"p") -> bytes:
    head = b"r" + len(name).to_bytes(2, "big") + name + bytes(8) + bytes([flags])
    return head + fields + b"x" + parent


def test_a_class_that_says_nothing_of_its_objects_has_no_values() -> None:
    stream = HEADER + b"s" + described(b"\0\0", flags=0)
    assert java_serialization.skip(stream + b"behind", 0) == len(stream)


@pytest.mark.parametrize(
    "stream",
    [
        b"no header",
        HEADER + b"y",
        HEADER + b"s" + described(b"\0\1Q\0\1q"),
        HEADER + b"sq\0\x7e\0\5",
        HEADER + b"sq\0\0\0\0",
        HEADER + b"st\0\0",
        HEADER + b"s" + described(b"\0\0", flags=4),
        HEADER + b"u" + described(b"\0\0", name=b"[I") + b"\xff\xff\xff\xff",
        HEADER + b"u" + described(b"\0\0", name=b"[L") + b"\0\0\xff\xff" + b"p" * 20_000,
        HEADER + b"s" + described(b"\0\0", parent=b"q\0\x7e\0\0"),
        HEADER + (b"u" + described(b"\0\0", name=b"[[") + b"\0\0\0\1") * 50,
        HEADER + b"s" + b"r\0\1A" + bytes(8) + b"\2\0\0x" * 1 + b"r\0\1A" * 50,
    ],
)
def test_what_is_no_object_is_refused_in_bounded_steps(stream: bytes) -> None:
    with pytest.raises(CutError):
        java_serialization.skip(stream, 0)

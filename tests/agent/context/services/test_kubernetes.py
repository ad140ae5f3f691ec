from __future__ import annotations

from pathlib import Path

from fakes.configured_root import all_said, bindings_in, write

APISERVER = """apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --client-ca-file=/pki/ca.crt
    - --secure-port=6443
    # - --tls-cert-file=/no.crt
    - --tls-cert-file=/pki/apiserver.crt
    - "--tls-private-key-file=/pki/sub/../apiserver.key"
    - --etcd-cafile=/pki/etcd/ca.crt
    - --etcd-keyfile=relative
    - --service-account-signing-key-file=/other/sa.key
    - --kubeconfig=/conf/a.conf
    volumeMounts:
    - mountPath: /pki
      name: certs
      readOnly: true
    - name: etcd
      mountPath: /pki/etcd
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: certs
  - name: etcd
    hostPath:
      path: "/srv/etcd/"
  - name: none
    emptyDir: {}
status: {}
"""
ETCD = """kind: Pod
metadata: {"name": etcd}
spec:
  containers:
  - command: ["etcd", "--cert-file=/e.crt", "--peer-cert-file=/p.crt",
      "--listen-client-urls=https://127.0.0.1:2379,http://x:1,https://[::1]:2379", "--listen-peer-urls=https://:2380"]
"""


def test_static_pods_name_files_of_the_host(tmp_path: Path) -> None:
    a, e = "/etc/kubernetes/manifests/a.yaml", "/etc/kubernetes/manifests/e.yaml"
    write(tmp_path, {a: APISERVER, e: ETCD, "/lib/systemd/system/kubelet.service": ""})
    pki = "/etc/kubernetes/pki"
    assert all_said(tmp_path, "kubernetes") == [
        f"{a}:9 trust {pki}/ca.crt on *:6443 tls",
        f"{a}:12 certificate {pki}/apiserver.crt on *:6443 tls",
        f"{a}:13 key {pki}/apiserver.key on *:6443 tls",
        f"{a}:14 trust /srv/etcd/ca.crt for kube-apiserver",
        f"{a}:16 key /other/sa.key for kube-apiserver",
        f"{a}:17 store /conf/a.conf for kube-apiserver",
        f"{e}:5 certificate /e.crt on 127.0.0.1:2379,[::1]:2379 tls",
        f"{e}:5 certificate /p.crt on *:2380 tls",
    ]
    assert bindings_in(tmp_path, "kubernetes")[0].unit == "kubelet.service"


def test_the_kubelet_and_its_kubeconfig(tmp_path: Path) -> None:
    config = """authentication:
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
port: 10251 # not the usual
staticPodPath: /srv/pods
"""
    access = """users:
- name: me
  user:
    client-certificate: pki/me.crt
    client-key-data: LS0tLS1C
clusters:
- cluster: {}
  certificate-authority-data: ""
"""
    write(
        tmp_path,
        {
            "/var/lib/kubelet/config.yaml": config,
            "/var/lib/kubelet/pki/kubelet.crt": "",
            "/var/lib/kubelet/pki/kubelet.key": "",
            "/srv/pods/p.yml": "- --cert-file=/p.crt\n",
            "/etc/kubernetes/manifests/no.yaml": "- --cert-file=/no.crt\n",
            "/home/u/.kube/config": access,
        },
    )
    where, listen = "/var/lib/kubelet/config.yaml", "on *:10251 tls"
    assert all_said(tmp_path, "kubernetes") == [
        "/srv/pods/p.yml:1 certificate /p.crt",
        f"{where}:3 trust /etc/kubernetes/pki/ca.crt {listen}",
        f"{where}:0 certificate /var/lib/kubelet/pki/kubelet.crt {listen}",
        f"{where}:0 key /var/lib/kubelet/pki/kubelet.key {listen}",
        "/home/u/.kube/config:4 certificate /home/u/.kube/pki/me.crt",
        "/home/u/.kube/config:5 key /home/u/.kube/config",
    ]


def test_a_kubelet_with_files_of_its_own(tmp_path: Path) -> None:
    config = '{\n  "tlsCertFile": "/k.crt",\n  "tlsPrivateKeyFile": "/k.key"\n}\n'
    write(tmp_path, {"/etc/kubernetes/kubelet/kubelet-config.json": config})
    found = bindings_in(tmp_path, "kubernetes")
    assert [(one.line, one.directive, one.paths) for one in found] == [
        (2, "certificate", (b"/k.crt",)),
        (3, "key", (b"/k.key",)),
    ]
    write(tmp_path, {"/var/lib/kubelet/config.yaml": "a: b\n"})
    write(tmp_path, {"/var/lib/kubelet/pki/kubelet-server-current.pem": ""})
    (binding,) = bindings_in(tmp_path, "kubernetes")
    assert binding.paths == (b"/var/lib/kubelet/pki/kubelet-server-current.pem",)

# A node that runs containers: bridge, containerd, kubelet, kube-proxy. Sourced by ../cluster. Needs root.

# One real node a machine: two kubelets would each end the other's pods, whose cgroups they do not know. The bridge is the
# sign of it, and its alias names the state folder of the cluster that made it.
make_room_for_a_node() {
  local owner
  ip link show "$BRIDGE" >/dev/null 2>&1 && [ ! -e "$R/bridge-is-ours" ] || return 0
  owner=$(cat "/sys/class/net/$BRIDGE/ifalias")
  [ -n "$owner" ] || fail "the link $BRIDGE is there and does not say whose it is; 'ip link del $BRIDGE' if nothing uses it"
  ! (R=$owner; lives) \
    || fail "this machine has a real node already, with its state in $owner; 'QSM_CLUSTER_DIR=$owner $0 down' ends it"
  say "taking away what a real node in $owner left when it was cut off"
  (
    R=$owner
    mkdir -p "$R"
    touch "$R/bridge-is-ours"
    stop_real_node
    rm -f "$R/with-node"
    rmdir "$R" 2>/dev/null || true # the rest of its state is for its own next start
  )
}

start_bridge() {
  # The node's address (kubelet refuses loopback), and where pods reach servers of this machine.
  make_room_for_a_node
  if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
    ! iptables-save 2>/dev/null | grep -q '^:KUBE-' \
      || fail "this machine's network rules belong to another Kubernetes (KUBE- chains); a second node would break it"
    note_traces
    ip link add "$BRIDGE" type bridge
    ip link set "$BRIDGE" alias "$R"
    touch "$R/bridge-is-ours"
  fi
  ip addr replace "$BRIDGE_IP/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  ip route replace 10.96.0.0/16 dev "$BRIDGE"
  [ -s "$R/ip_forward" ] || cat /proc/sys/net/ipv4/ip_forward >"$R/ip_forward"
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

start_containerd() {
  local d=$R/c
  mkdir -p "$d" "$R/cni"
  cat >"$R/containerd.toml" <<END
version = 3
root = "$d/root"
state = "$d/state"
[grpc]
  address = "$d/c.sock"
[ttrpc]
  address = "$d/c.ttrpc"
[plugins.'io.containerd.internal.v1.opt']
  path = "$d/opt"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/standin:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$BIN/cni"]
  conf_dir = "$R/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "$(command -v runc)"
  Root = "$d/runc"
END
  cat >"$R/cni/10-qsm.conflist" <<END
{"cniVersion": "1.0.0", "name": "qsm", "plugins": [{
  "type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "$R/ipam", "routes": [{"dst": "0.0.0.0/0"}],
           "ranges": [[{"subnet": "$SUBNET.0/24", "rangeStart": "$SUBNET.10"}]]}}]}
END
  launch containerd "$BIN/containerd" --config="$R/containerd.toml" --log-level=warn
  await 60 containerd ctr version
  ctr images list -q | grep -qxF localhost/standin:1 || import_standin
}

# The socket must be named by its absolute path: "invalid (non-empty) authority" otherwise.
# It repeats at every call that cgroup v1 will go one day.
ctr() { CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 "$BIN/ctr" --address "$R/c/c.sock" --namespace k8s.io "$@"; }

import_standin() { # the one image every cluster has: sandbox and stand-in container, made of one static program
  local work=$R/standin config
  rm -rf "$work"
  mkdir -p "$work/layer"
  cp "$BIN/standin" "$work/layer/standin"
  tar -C "$work/layer" --sort=name --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" standin
  config="{\"architecture\":\"$(go_arch)\",\"os\":\"linux\",\"config\":{\"Entrypoint\":[\"/standin\"],\"User\":\"65532:65532\"},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$(sha256sum "$work/layer.tar" | cut -d' ' -f1)\"]}}"
  printf '%s' "$config" >"$work/config.json"
  printf '[{"Config":"config.json","RepoTags":["localhost/standin:1"],"Layers":["layer.tar"]}]' >"$work/manifest.json"
  tar -C "$work" -cf "$work/image.tar" manifest.json config.json layer.tar
  import_image "$work/image.tar" >"$R/standin-image"
  rm -rf "$work"
}

go_arch() { case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac; }

import_image() { # TAR: into the node, under its name and by digest; prints NAME@sha256:...
  local name digest
  while read -r name; do
    digest=$(ctr images list "name==$name" | awk 'NR==2{print $3}')
    case $name in
      *@*) continue ;;
    esac
    ctr images tag --force "$name" "${name%:*}@$digest" >/dev/null
    echo "${name%:*}@$digest"
  done < <(ctr images import --local "$1" | awk '/saved|unpacking|application/{sub(/^unpacking /, ""); print $1}' | sort -u)
}

start_kubelet() {
  mkdir -p "$R/k"
  echo "nameserver $BRIDGE_IP" >"$R/resolv.conf"
  cat >"$R/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $BRIDGE_IP
port: $PORT_KUBELET
healthzBindAddress: 127.0.0.1
healthzPort: $PORT_KUBELET_HEALTH
tlsCertFile: $R/pki/node.crt
tlsPrivateKeyFile: $R/pki/node.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $R/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$R/c/c.sock
resolvConf: $R/resolv.conf
clusterDNS: [$BRIDGE_IP]
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
evictionPressureTransitionPeriod: 10s
nodeStatusUpdateFrequency: 5s
podLogsDir: $R/k/logs
volumePluginDir: $R/k/plugins
END
  launch kubelet "$BIN/kubelet" --config="$R/kubelet.yaml" --kubeconfig="$R/node.kubeconfig" --root-dir="$R/k/root" \
    --hostname-override=real-node --node-ip="$BRIDGE_IP" --node-labels=type=real
}

start_proxy() {
  cat >"$R/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $R/proxy.kubeconfig}
hostnameOverride: real-node
mode: iptables
clusterCIDR: $SUBNET.0/24
iptables: {masqueradeAll: true}
healthzBindAddress: 127.0.0.1:$PORT_PROXY_HEALTH
metricsBindAddress: 127.0.0.1:$PORT_PROXY_METRICS
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
END
  launch kube-proxy "$BIN/kube-proxy" --config="$R/proxy.yaml"
}

real_node_ready() {
  await 90 kubelet answers "http://127.0.0.1:$PORT_KUBELET_HEALTH/healthz"
  await 60 kube-proxy answers "http://127.0.0.1:$PORT_PROXY_HEALTH/healthz"
  await 90 kubelet kube wait node/real-node --for=condition=Ready --timeout=5s
  kube uncordon real-node >/dev/null # our own stop cordons, and etcd remembers
}

stop_real_node() {
  local id shim mount pid
  if alive apiserver && alive kubelet; then
    kube cordon real-node >/dev/null 2>&1 || true
    timeout 30 "$BIN/kubectl" --kubeconfig="$R/admin.kubeconfig" delete pods -A --field-selector=spec.nodeName=real-node \
      --grace-period=1 --wait=true >/dev/null 2>&1 || true
  fi
  halt kube-proxy
  halt kubelet
  if alive containerd; then
    for id in $(ctr tasks list -q 2>/dev/null); do ctr tasks rm --force "$id" >/dev/null 2>&1 || true; done
    for id in $(ctr containers list -q 2>/dev/null); do ctr containers rm "$id" >/dev/null 2>&1 || true; done
  fi
  halt containerd
  # Shims outlive containerd. Ours are those that talk to our socket, nobody else's.
  for shim in /proc/[0-9]*; do
    [ "$(cat "$shim/comm" 2>/dev/null)" = containerd-shim ] || continue
    tr '\0' '\n' <"$shim/cmdline" 2>/dev/null | grep -qxF "$R/c/c.sock" && kill -KILL "${shim#/proc/}" 2>/dev/null || true
  done
  # After a crash of containerd its containers are still there, in the cgroups kubelet made.
  if [ -e "$R/bridge-is-ours" ]; then
    find /sys/fs/cgroup -path '*/kubepods*' -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | while read -r pid; do
      kill -KILL "$pid" 2>/dev/null || true
    done
  fi
  # The longest path first: what is mounted inside another mount goes before it.
  while read -r mount; do umount --lazy "$mount" 2>/dev/null || true; done \
    < <(awk -v root="$R/" 'index($2, root) == 1 {print $2}' /proc/mounts | awk '{print length, $0}' | sort -rn | cut -d' ' -f2-)
  if [ -e "$R/bridge-is-ours" ]; then
    remove_network_rules
    remove_traces
    find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
    ip link del "$BRIDGE" 2>/dev/null || true
    [ ! -s "$R/ip_forward" ] || cat "$R/ip_forward" >/proc/sys/net/ipv4/ip_forward
    rm -f "$R/bridge-is-ours" "$R/ip_forward"
  fi
}

# etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok's fake nodes. Sourced by ../cluster.

start_etcd() {
  local client=http://127.0.0.1:$PORT_ETCD peer=http://127.0.0.1:$PORT_ETCD_PEER
  # No fsync: what a test cluster would lose at a power cut is of no value.
  launch etcd "$BIN/etcd" --name=qsm --data-dir="$R/etcd" --unsafe-no-fsync --log-level=warn \
    --quota-backend-bytes=8589934592 --auto-compaction-mode=periodic --auto-compaction-retention=10m \
    --listen-client-urls="$client" --advertise-client-urls="$client" \
    --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="qsm=$peer"
  await 60 etcd answers "$client/health"
}

start_apiserver() {
  launch apiserver "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$PORT_ETCD" \
    --bind-address="$ADDRESS" --advertise-address="$ADVERTISED" --secure-port="$PORT_API" \
    --tls-cert-file="$R/pki/apiserver.crt" --tls-private-key-file="$R/pki/apiserver.key" --client-ca-file="$R/pki/ca.crt" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction,PodSecurity,ResourceQuota,LimitRanger,Priority \
    --allow-privileged=true --service-cluster-ip-range=10.96.0.0/16 \
    --requestheader-client-ca-file="$R/pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --kubelet-client-certificate="$R/pki/kubelet-client.crt" --kubelet-client-key="$R/pki/kubelet-client.key" \
    --kubelet-certificate-authority="$R/pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --service-account-key-file="$R/pki/sa.pub" --service-account-signing-key-file="$R/pki/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local
  apiserver_ready
}

apiserver_ready() { await 120 apiserver "$BIN/kubectl" --kubeconfig="$R/admin.kubeconfig" get --raw /readyz; }

relaunch_apiserver() {
  set_addresses
  # A killed process is gone for us as soon as its first thread is; the others may still hold its port for a moment.
  local tries=100
  while (exec 3<>"/dev/tcp/$ADDRESS/$PORT_API") 2>/dev/null && ! alive apiserver && [ $((tries--)) -gt 0 ]; do sleep 0.1; done
  again apiserver
  apiserver_ready
}

start_controllers() {
  local controllers=$R/controllers.kubeconfig scheduler=$R/scheduler.kubeconfig
  launch controller-manager "$BIN/kube-controller-manager" --kubeconfig="$controllers" \
    --authentication-kubeconfig="$controllers" --authorization-kubeconfig="$controllers" \
    --root-ca-file="$R/pki/ca.crt" --service-account-private-key-file="$R/pki/sa.key" --use-service-account-credentials \
    --leader-elect=false --bind-address=127.0.0.1 --secure-port="$PORT_CONTROLLERS" \
    --kube-api-qps=200 --kube-api-burst=400 --concurrent-job-syncs=20
  launch scheduler "$BIN/kube-scheduler" --kubeconfig="$scheduler" \
    --authentication-kubeconfig="$scheduler" --authorization-kubeconfig="$scheduler" \
    --leader-elect=false --bind-address=127.0.0.1 --secure-port="$PORT_SCHEDULER" --kube-api-qps=200 --kube-api-burst=400
}

start_fake_nodes() {
  launch kwok "$BIN/kwok" --kubeconfig="$R/admin.kubeconfig" --config="$HERE/parts/fake-stages.yaml" \
    --manage-all-nodes=false --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake \
    --server-address="127.0.0.1:$PORT_KWOK" --node-lease-duration-seconds=40 # else the nodes are NotReady for 5 s each minute
  local i
  {
    for ((i = 0; i < FAKE_CPU; i++)); do fake_node "fake-cpu-$i" ""; done
    for ((i = 0; i < FAKE_GPU; i++)); do fake_node "fake-gpu-$i" ", nvidia.com/gpu: \"$FAKE_GPU_COUNT\""; done
  } >"$R/fake-nodes.yaml"
  [ ! -s "$R/fake-nodes.yaml" ] || kube apply --server-side --force-conflicts -f "$R/fake-nodes.yaml" >/dev/null
  # The status of a node is a subresource; apply does not reach it.
  for ((i = 0; i < FAKE_CPU; i++)); do fake_capacity "fake-cpu-$i" ""; done
  for ((i = 0; i < FAKE_GPU; i++)); do fake_capacity "fake-gpu-$i" ",\"nvidia.com/gpu\":\"$FAKE_GPU_COUNT\""; done
}

fake_node() { # NAME: tainted, else it would take pods that are meant to run
  cat <<END
---
apiVersion: v1
kind: Node
metadata:
  name: $1
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: $1, kubernetes.io/os: linux, kubernetes.io/arch: amd64, type: fake}
spec:
  taints: [{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}]
END
}

fake_capacity() { # NAME EXTRA
  local amount="{\"cpu\":\"1000\",\"memory\":\"4Ti\",\"ephemeral-storage\":\"100Ti\",\"pods\":\"2000\"$2}"
  kube patch node "$1" --subresource=status --type=merge -p "{\"status\":{\"capacity\":$amount,\"allocatable\":$amount}}" >/dev/null
}

control_plane_ready() {
  await 60 controller-manager answers "https://127.0.0.1:$PORT_CONTROLLERS/healthz"
  await 60 scheduler answers "https://127.0.0.1:$PORT_SCHEDULER/healthz"
  # Last gate: before this account exists, pods are refused.
  await 60 controller-manager kube get serviceaccount default -n default
  if [ $((FAKE_CPU + FAKE_GPU)) -gt 0 ]; then
    await 60 kwok kube wait node -l type=fake --for=condition=Ready --timeout=5s
  fi
}

# What kubelet, kube-proxy and containerd leave outside their own folders, taken away again. Sourced by ../cluster.
# Only what is ours goes: the start is refused where another Kubernetes manages this machine.

foreign_folders=(/var/log/containers /var/log/pods /var/lib/cni /var/lib/kubelet /run/containerd /etc/cni)

note_traces() { # before the first start: which folders the machine did not have
  local folder
  [ ! -e "$R/new-folders" ] || return 0
  for folder in "${foreign_folders[@]}"; do [ -e "$folder" ] || echo "$folder"; done >"$R/new-folders"
}

remove_traces() {
  local folder link
  for link in /var/log/containers/*; do
    case $(readlink "$link" 2>/dev/null) in "$R"/*) rm -f "$link" ;; esac
  done
  rm -f /var/lib/cni/results/qsm-* # containerd's notes on addresses; "qsm" is the name of our network
  [ -e "$R/new-folders" ] || return 0
  # Sockets of shims that were killed. Their names do not tell whose they are, hence only where containerd was never before us.
  if grep -qxF /run/containerd "$R/new-folders" && ! grep -qx containerd-shim /proc/[0-9]*/comm 2>/dev/null; then
    rm -rf /run/containerd/s
  fi
  while read -r folder; do
    [ -d "$folder" ] || continue
    rm -f "$folder/device-plugins/kubelet.sock" "$folder/device-plugins/kubelet_internal_checkpoint" "$folder/net.d/cni.lock"
    find "$folder" -depth -type d -empty -delete # what is in use by anybody is not empty
  done <"$R/new-folders"
  rm -f "$R/new-folders"
}

remove_network_rules() {
  local tool table
  for tool in iptables ip6tables; do
    for table in filter nat mangle; do
      # Take the jumps out first, then empty the chains (declaring one does), then remove them; all at once.
      "$tool-save" -t "$table" 2>/dev/null | awk -v table="$table" '
        /^:KUBE-/ {sub(/^:/, "", $1); chains[$1]}
        /^-A / && $2 !~ /^KUBE-/ && / -j KUBE-/ {sub(/^-A/, "-D"); jumps[$0]}
        END {
          print "*" table
          for (chain in chains) print ":" chain " - [0:0]"
          for (jump in jumps) print jump
          for (chain in chains) print "-X " chain
          print "COMMIT"
        }' | "$tool-restore" --noflush 2>/dev/null || true
    done
  done
}

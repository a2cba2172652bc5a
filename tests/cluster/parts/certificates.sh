# The cluster's own certificate authority and one kubeconfig per client. Sourced by ../cluster. Valid for a year, made anew
# with every clean start.

certificate() { # NAME SUBJECT USAGES [SUBJECT-ALTERNATIVE-NAMES]
  local name=$1 extensions
  [ -s "$R/pki/$name.crt" ] && return 0
  extensions="basicConstraints=critical,CA:false
keyUsage=critical,digitalSignature
extendedKeyUsage=$3"
  [ -z "${4:-}" ] || extensions="$extensions
subjectAltName=$4"
  openssl ecparam -name prime256v1 -genkey -noout -out "$R/pki/$name.key"
  openssl req -new -key "$R/pki/$name.key" -subj "$2" -out "$R/pki/$name.csr"
  openssl x509 -req -in "$R/pki/$name.csr" -CA "$R/pki/ca.crt" -CAkey "$R/pki/ca.key" -CAcreateserial -days 365 -sha256 \
    -extfile <(printf '%s\n' "$extensions") -out "$R/pki/$name.crt.part" 2>/dev/null
  mv "$R/pki/$name.crt.part" "$R/pki/$name.crt"
  rm "$R/pki/$name.csr"
}

client_config() { # NAME: kubeconfig with that client certificate
  write_config "$R/$1.kubeconfig" "$1" "client-certificate-data: $(base64 -w0 "$R/pki/$1.crt")
    client-key-data: $(base64 -w0 "$R/pki/$1.key")"
}

write_config() { # FILE USER CREDENTIAL-LINES
  (umask 077 && cat >"$1.part") <<END
apiVersion: v1
kind: Config
clusters:
- name: qsm-test
  cluster:
    server: https://$ADDRESS:$PORT_API
    certificate-authority-data: $(base64 -w0 "$R/pki/ca.crt")
users:
- name: $2
  user:
    $3
contexts:
- name: qsm-test
  context: {cluster: qsm-test, user: $2}
current-context: qsm-test
END
  mv "$1.part" "$1"
}

make_certificates() {
  mkdir -p "$R/pki"
  chmod 700 "$R/pki"
  if [ ! -s "$R/pki/ca.crt" ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out "$R/pki/ca.key"
    openssl req -x509 -new -key "$R/pki/ca.key" -subj /CN=qsm-test-ca -days 365 -sha256 -out "$R/pki/ca.crt" \
      -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign
    openssl genrsa -out "$R/pki/sa.key" 2048 2>/dev/null
    openssl rsa -in "$R/pki/sa.key" -pubout -out "$R/pki/sa.pub" 2>/dev/null
  fi
  certificate apiserver /CN=kube-apiserver serverAuth "IP:127.0.0.1,IP:10.96.0.1,IP:$BRIDGE_IP,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  certificate admin /O=system:masters/CN=qsm-test-admin clientAuth
  certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  certificate controllers /CN=system:kube-controller-manager clientAuth
  certificate scheduler /CN=system:kube-scheduler clientAuth
  certificate proxy /CN=system:kube-proxy clientAuth
  certificate node /O=system:nodes/CN=system:node:real-node clientAuth,serverAuth "IP:$BRIDGE_IP,DNS:real-node"
  local client
  for client in admin controllers scheduler proxy node; do client_config "$client"; done
}
